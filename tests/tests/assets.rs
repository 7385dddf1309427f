//! Suites over downloaded data: `tests/assets/fetch`, then `cargo test --features paring-tests/assets --test assets`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::path::PathBuf;

use paring_data::read::{ReadOptions, read};

fn asset(name: &str) -> PathBuf {
    let path = paring_tests::workspace().join("tests/assets/files").join(name);
    assert!(path.exists(), "`{}` is missing: run tests/assets/fetch", path.display());
    path
}

#[test]
fn fashion_mnist_reads_as_images_with_labels() {
    let options =
        ReadOptions { labels: Some(asset("fashion-mnist/t10k-labels-idx1-ubyte.gz")), ..ReadOptions::default() };
    let data = read(&asset("fashion-mnist/t10k-images-idx3-ubyte.gz"), &options).unwrap();
    assert_eq!((data.rows(), data.image), (10_000, Some([1, 28, 28])));
    assert_eq!(data.columns(), ["features", "label"]);
}
