//! Models from a hub, played by a small server on this machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use paring_tests::{Scratch, workspace};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with two models: `org/tiny`, and `org/two` of two files.
struct Hub {
    address: String,
    requests: Arc<AtomicUsize>,
}

impl Hub {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                answer(&connection.unwrap());
            }
        });
        Self { address, requests }
    }
}

fn answer(mut connection: &TcpStream) {
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let start = headers.iter().find_map(|line| line.strip_prefix("range: bytes=")).map(str::to_owned);
    let body = body(path);
    let status = if body.is_some() { if start.is_some() { "206 Partial" } else { "200 OK" } } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let size = body.len();
    let sent = if start.as_deref() == Some("0-0") { &body[..1] } else { &body[..] };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"{size}\"\r\nx-repo-commit: {COMMIT}\r\n\
         content-range: bytes 0-0/{size}\r\nconnection: close\r\n\r\n",
        sent.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(sent).unwrap();
}

fn body(path: &str) -> Option<Vec<u8>> {
    if path == format!("/api/models/org/tiny/revision/{COMMIT}") {
        let files = ["README.md", "config.json", "model.safetensors", "model.onnx", "vocab.txt"];
        let files: Vec<_> = files.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        return Some(serde_json::json!({ "sha": COMMIT, "siblings": files }).to_string().into_bytes());
    }
    if path == format!("/api/models/org/two/revision/{COMMIT}") {
        let files = ["a.gguf", "b.gguf"].map(|name| serde_json::json!({ "rfilename": name }));
        return Some(serde_json::json!({ "sha": COMMIT, "siblings": files }).to_string().into_bytes());
    }
    if path == format!("/org/two/resolve/{COMMIT}/b.gguf") {
        return Some(std::fs::read(workspace().join("engine/model/tests/gguf/fixtures/qwen2.gguf")).unwrap());
    }
    match path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/"))? {
        "vocab.txt" => Some(b"a\nb\n".to_vec()),
        "config.json" => Some(br#"{ "model_type": "novel" }"#.to_vec()),
        "model.safetensors" => Some(std::fs::read(workspace().join("tests/bad/files/unknown.safetensors")).unwrap()),
        _ => None,
    }
}

fn run(scratch: &Scratch, hub: &str, model: &str, out: &str) -> Output {
    let text = format!(
        "paring: 1\nname: hub\nmodel: {{ load: \"{model}\" }}\ntask: classify\nmeasure: [size]\nstages:\n  \
         - quantize/rtn: {{}}\nexport: [{{ safetensors: {{}} }}]\n"
    );
    let recipe = scratch.path("recipe.yaml");
    std::fs::write(&recipe, text).unwrap();
    let mut command = scratch.paring();
    command.env("HF_ENDPOINT", hub).env("HF_HOME", scratch.path("hub")).env("NO_PROXY", "127.0.0.1");
    command.arg("run").arg(recipe).arg("--out").arg(scratch.path(out)).output().unwrap()
}

#[test]
fn a_commit_is_fetched_once_and_then_needs_no_hub() {
    let (scratch, hub) = (Scratch::new(), Hub::start());
    let model = format!("hf://org/tiny@{COMMIT}");
    let output = run(&scratch, &hub.address, &model, "one");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config = std::fs::read_to_string(scratch.path("one/model/config.json")).unwrap();
    assert!(config.contains("novel") && config.contains("quantization_config"), "{config}");
    assert_eq!(std::fs::read_to_string(scratch.path("one/model/vocab.txt")).unwrap(), "a\nb\n");
    assert!(!scratch.path("one/model/model.onnx").exists());
    let asked = hub.requests.load(Ordering::SeqCst);
    assert!(asked >= 3, "{asked} requests");
    let output = run(&scratch, "http://127.0.0.1:1", &model, "two");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(hub.requests.load(Ordering::SeqCst), asked);
}

#[test]
fn one_file_of_several_is_named() {
    let (scratch, hub) = (Scratch::new(), Hub::start());
    let output = run(&scratch, &hub.address, &format!("hf://org/two@{COMMIT}"), "out");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("holds several GGUF files: `a.gguf`, `b.gguf`"), "{said}");
    let one = format!("hf://org/two@{COMMIT}#b.gguf");
    assert!(said.contains(&format!("name one of them: `hf://org/two@{COMMIT}#a.gguf`")), "{said}");
    for address in [hub.address.as_str(), "http://127.0.0.1:1"] {
        let output = run(&scratch, address, &one, "out");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_the_hub_does_not_have_is_said() {
    let (scratch, hub) = (Scratch::new(), Hub::start());
    let output = run(&scratch, &hub.address, "hf://org/tiny@main", "out");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("error[M003]: cannot fetch the list of files of `hf://org/tiny@main`: ") && said.contains("404"),
        "{said}"
    );
    assert!(!scratch.path("out").exists());
}
