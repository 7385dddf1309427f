//! Models of a Hugging Face hub: `hf://org/name@revision`. Files are fetched once, into the cache that other programs
//! for the hub use too.

use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

/// How addresses begin.
const SCHEME: &str = "hf://";

/// Names of files that a model is read from, beside its weights and every JSON file.
const TEXTS: [&str; 4] = ["vocab.txt", "merges.txt", "tokenizer.model", "spiece.model"];

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The address names no model.
    #[error("`{0}` is no address of a model, expected `hf://org/name@revision`")]
    Address(String),
    /// The address names no revision.
    #[error("`{0}` names no revision, so that it may mean another model tomorrow")]
    NoRevision(String),
    /// The repository holds no weights that are read.
    #[error("`{address}` holds no weights that are read, but {found}")]
    NoWeights {
        /// The address.
        address: String,
        /// Some of the files there are.
        found: String,
    },
    /// The hub has no such model or revision, or cannot be reached.
    #[error("cannot fetch {what} of `{address}`: {source}")]
    Fetch {
        /// The address.
        address: String,
        /// The file, or "the list of files".
        what: String,
        /// Why.
        source: Box<ApiError>,
    },
}

impl HubError {
    /// What to do about it, where that can be said in general.
    pub fn help(&self) -> Option<String> {
        match self {
            HubError::NoRevision(address) => {
                Some(format!("add the commit: `{address}@COMMIT`, or a branch or tag if it may move"))
            }
            HubError::NoWeights { .. } => Some("safetensors and PyTorch files are read".to_owned()),
            _ => None,
        }
    }
}

/// Whether a path is an address of a hub.
pub fn is_address(path: &str) -> bool {
    path.starts_with(SCHEME)
}

/// A directory with the model's files. What is in the cache already is not fetched again; a commit that was fetched
/// whole needs no network.
///
/// # Errors
/// When the address is malformed, or the hub does not give what it names.
pub fn fetch(address: &str) -> Result<PathBuf, HubError> {
    let (name, revision) = parse(address)?;
    let cache = Cache::from_env();
    let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
    let whole = cache.path().join(repo.folder_name()).join(format!(".whole-{}", repo.url_revision()));
    if let Ok(commit) = std::fs::read_to_string(&whole).map(|text| text.trim().to_owned())
        && commit == revision
        && snapshot(&cache, &repo, &commit).is_dir()
    {
        return Ok(snapshot(&cache, &repo, &commit));
    }
    let failed = |what: &str, source| HubError::Fetch {
        address: address.to_owned(),
        what: what.to_owned(),
        source: Box::new(source),
    };
    let hub = ApiBuilder::from_env().build().map_err(|error| failed("the list of files", error))?.repo(repo.clone());
    let info = hub.info().map_err(|error| failed("the list of files", error))?;
    let files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
    get(&hub, &wanted(address, &files)?).map_err(|(file, error)| failed(&format!("`{file}`"), error))?;
    // Not to be had on a read-only disk: then the hub is asked again next time.
    let _ = std::fs::write(&whole, &info.sha);
    Ok(snapshot(&cache, &repo, &info.sha))
}

/// The organisation with the name, and the revision.
fn parse(address: &str) -> Result<(&str, &str), HubError> {
    let rest = address.strip_prefix(SCHEME).unwrap_or(address);
    let (name, revision) = rest.split_once('@').ok_or_else(|| match is_name(rest) {
        true => HubError::NoRevision(address.to_owned()),
        false => HubError::Address(address.to_owned()),
    })?;
    let is_revision = !revision.is_empty() && !revision.contains("..") && !revision.contains(['\\', ' ', '?', '#']);
    if is_name(name) && is_revision { Ok((name, revision)) } else { Err(HubError::Address(address.to_owned())) }
}

fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        !part.is_empty() && part.chars().all(known) && part.chars().any(|c| c != '.')
    };
    name.split('/').count() <= 2 && name.split('/').all(is_part)
}

fn snapshot(cache: &Cache, repo: &Repo, commit: &str) -> PathBuf {
    cache.path().join(repo.folder_name()).join("snapshots").join(commit)
}

/// The files that a model is read from: its JSON and vocabulary files, and its weights as safetensors, or else as
/// PyTorch files. Weights for other programs stay where they are.
fn wanted<'a>(address: &str, files: &'a [String]) -> Result<Vec<&'a str>, HubError> {
    let stays_inside = |file: &&str| Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    let files: Vec<&str> = files.iter().map(String::as_str).filter(stays_inside).collect();
    let ending = |end: &'static str| files.iter().copied().filter(move |file| file.ends_with(end));
    let at_top = |file: &&str| !file.contains('/');
    let mut weights: Vec<&str> = ending(".safetensors").filter(at_top).collect();
    if weights.is_empty() {
        weights = ending(".bin").filter(at_top).filter(|file| file.starts_with("pytorch_model")).collect();
    }
    if weights.is_empty() {
        let shown = files.iter().take(6).map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ");
        let found = if shown.is_empty() { "no file at all".to_owned() } else { shown };
        return Err(HubError::NoWeights { address: address.to_owned(), found });
    }
    let texts = files.iter().copied().filter(|file| TEXTS.contains(file));
    Ok(ending(".json").filter(|file| is_json_of_model(file)).chain(texts).chain(weights).collect())
}

/// JSON files lie at the top, or in the folder of a module (`1_Pooling`).
fn is_json_of_model(file: &str) -> bool {
    match file.split('/').collect::<Vec<_>>().as_slice() {
        [_] => true,
        [folder, _] => folder.starts_with(|c: char| c.is_ascii_digit()),
        _ => false,
    }
}

fn get<'a>(hub: &ApiRepo, files: &[&'a str]) -> Result<(), (&'a str, ApiError)> {
    for &file in files {
        tracing::info!(file, "fetching");
        hub.get(file).map_err(|error| (file, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{HubError, parse, wanted};

    #[test]
    fn an_address_names_a_model_and_a_revision() {
        assert_eq!(parse("hf://org/name@abc123").unwrap(), ("org/name", "abc123"));
        assert_eq!(parse("hf://gpt2@refs/pr/1").unwrap(), ("gpt2", "refs/pr/1"));
        assert!(matches!(parse("hf://org/name"), Err(HubError::NoRevision(_))));
        for wrong in
            ["hf://", "hf://@main", "hf://a/b/c@main", "hf://../b@main", "hf://a b@main", "hf://a/b@", "hf://a/b@../x"]
        {
            assert!(matches!(parse(wrong), Err(HubError::Address(_))), "{wrong}");
        }
    }

    #[test]
    fn only_what_a_model_is_read_from_is_fetched() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let files = names(&[
            "README.md",
            "config.json",
            "1_Pooling/config.json",
            "onnx/model.onnx",
            "model.safetensors",
            "pytorch_model.bin",
            "openvino/config.json",
            "vocab.txt",
            "../evil.json",
            "/etc/passwd.json",
            "tf_model.h5",
        ]);
        let expected = ["config.json", "1_Pooling/config.json", "vocab.txt", "model.safetensors"];
        assert_eq!(wanted("hf://a/b@c", &files).unwrap(), expected);
        let older = names(&["config.json", "pytorch_model.bin", "training_args.bin"]);
        assert_eq!(wanted("hf://a/b@c", &older).unwrap(), ["config.json", "pytorch_model.bin"]);
        let error = wanted("hf://a/b@c", &names(&["model.onnx"])).unwrap_err();
        assert_eq!(error.to_string(), "`hf://a/b@c` holds no weights that are read, but `model.onnx`");
    }
}
