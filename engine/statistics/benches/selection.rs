//! What selection costs, on one thread: on letters (20,000 rows, 16 features, 26 classes; `tests/assets/fetch`) and on
//! a table of 20,000 x 512 with two classes.

#![allow(clippy::unwrap_used, reason = "a bench stops where a test would")]

use std::path::Path;

use divan::{Bencher, black_box};
use paring_statistics::anova::f_statistics;
use paring_statistics::elimination::{Settings, eliminate};
use paring_statistics::information::mutual_information;
use paring_statistics::principal::components;
use paring_statistics::scaling::standard;
use paring_statistics::{Answers, Features};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn main() {
    divan::main();
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

/// Standardized features and classes.
fn letter() -> (Features, Answers) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/assets/files/tables/letter.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let rows: Vec<Vec<String>> = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    let columns = rows[0].len() - 1;
    let data = rows.iter().flat_map(|row| row[..columns].iter().map(|cell| cell.parse().unwrap())).collect();
    let mut features = Features { rows: rows.len(), columns, data };
    let spread = standard(&features);
    for row in features.data.chunks_mut(columns) {
        for ((cell, centre), scale) in row.iter_mut().zip(&spread.centres).zip(&spread.scales) {
            *cell = ((f64::from(*cell) - centre) / scale) as f32;
        }
    }
    let number = |row: &Vec<String>| u32::from(row[columns].trim().as_bytes()[0] - b'A');
    (features, Answers::Classes { numbers: rows.iter().map(number).collect(), count: 26 })
}

/// Numbers that hang together: each the mean of a common one and one of its own.
fn wide() -> (Features, Answers) {
    let mut rng = rng();
    let mut data = Vec::with_capacity(20_000 * 512);
    let mut numbers = Vec::new();
    for _ in 0..20_000 {
        let shared: f32 = rng.random();
        data.extend((0..512).map(|column| shared * (column % 7) as f32 + rng.random::<f32>()));
        numbers.push(u32::from(shared > 0.5));
    }
    (Features { rows: 20_000, columns: 512, data }, Answers::Classes { numbers, count: 2 })
}

type Table = fn() -> (Features, Answers);

const TABLES: [(&str, Table); 2] = [("letter", letter), ("wide", wide)];

fn table(name: &str) -> (Features, Answers) {
    TABLES.iter().find(|(known, _)| *known == name).unwrap().1()
}

#[divan::bench(args = ["letter", "wide"], sample_count = 5)]
fn pca(bencher: Bencher, name: &str) {
    let (features, _) = table(name);
    bencher.bench(|| components(black_box(&features), &features.means()));
}

#[divan::bench(args = ["letter", "wide"], sample_count = 5)]
fn anova(bencher: Bencher, name: &str) {
    let (features, answers) = table(name);
    bencher.bench(|| f_statistics(black_box(&features), &answers));
}

#[divan::bench(args = ["letter", "wide"], sample_count = 3)]
fn information(bencher: Bencher, name: &str) {
    let (features, answers) = table(name);
    bencher.bench(|| mutual_information(black_box(&features), &answers, 3, &mut rng()));
}

/// Half of the letters' features; the first half of the wide table's, 32 a round.
#[divan::bench(args = ["letter", "wide"], sample_count = 1)]
fn elimination(bencher: Bencher, name: &str) {
    let (features, answers) = table(name);
    let settings = Settings { keep: features.columns / 2, step: features.columns.div_ceil(16), c: 1.0 };
    bencher.bench(|| eliminate(black_box(&features), &answers, &settings, &mut |_, _| Ok(())));
}
