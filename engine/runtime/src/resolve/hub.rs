//! Models of a Hugging Face hub: `hf://org/name@revision`, or `hf://org/name@revision#FILE` for one GGUF file of
//! several. Files are fetched once, into the cache that other programs
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
    #[error("`{0}` is no address of a model, expected `hf://org/name@revision` or `hf://org/name@revision#FILE`")]
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
    /// The repository holds several GGUF files, each a whole model.
    #[error("`{address}` holds several GGUF files: {found}")]
    Several {
        /// The address.
        address: String,
        /// Some of them.
        found: String,
        /// The first.
        first: String,
    },
    /// The repository does not hold the file that the address names.
    #[error("`{address}` holds no such file, but {found}")]
    NoFile {
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
            HubError::NoWeights { .. } => Some("safetensors, PyTorch and GGUF files are read".to_owned()),
            HubError::Several { address, first, .. } => Some(format!("name one of them: `{address}#{first}`")),
            _ => None,
        }
    }
}

/// Whether a path is an address of a hub.
pub fn is_address(path: &str) -> bool {
    path.starts_with(SCHEME)
}

/// A directory with the model's files, or the file that the address names. What is in the cache already is not fetched again; a commit that was fetched
/// whole needs no network.
///
/// # Errors
/// When the address is malformed, or the hub does not give what it names.
pub fn fetch(address: &str) -> Result<PathBuf, HubError> {
    let Address { name, revision, file } = Address::parse(address)?;
    let cache = Cache::from_env();
    let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
    let marker = format!(".whole-{}{}", repo.url_revision(), file.map(|file| format!("#{file}")).unwrap_or_default());
    let whole = cache.path().join(repo.folder_name()).join(marker.replace('/', "%2F"));
    let opened = |commit: &str| match file {
        Some(file) => snapshot(&cache, &repo, commit).join(file),
        None => snapshot(&cache, &repo, commit),
    };
    if let Ok(commit) = std::fs::read_to_string(&whole).map(|text| text.trim().to_owned())
        && commit == revision
        && opened(&commit).exists()
    {
        return Ok(opened(&commit));
    }
    let failed = |what: &str, source| HubError::Fetch {
        address: address.to_owned(),
        what: what.to_owned(),
        source: Box::new(source),
    };
    let hub = ApiBuilder::from_env().build().map_err(|error| failed("the list of files", error))?.repo(repo.clone());
    let info = hub.info().map_err(|error| failed("the list of files", error))?;
    let files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
    let wanted = file.map_or_else(|| wanted(address, &files), |file| one(address, file, &files));
    get(&hub, &wanted?).map_err(|(file, error)| failed(&format!("`{file}`"), error))?;
    // Not to be had on a read-only disk: then the hub is asked again next time.
    let _ = std::fs::write(&whole, &info.sha);
    Ok(opened(&info.sha))
}

/// What an address says.
#[derive(Debug, PartialEq)]
struct Address<'a> {
    /// The organisation and the name.
    name: &'a str,
    revision: &'a str,
    file: Option<&'a str>,
}

impl<'a> Address<'a> {
    fn parse(address: &'a str) -> Result<Self, HubError> {
        let rest = address.strip_prefix(SCHEME).unwrap_or(address);
        let (name, rest) = rest.split_once('@').ok_or_else(|| match is_name(rest) {
            true => HubError::NoRevision(address.to_owned()),
            false => HubError::Address(address.to_owned()),
        })?;
        let (revision, file) = rest.split_once('#').map_or((rest, None), |(revision, file)| (revision, Some(file)));
        let is_revision = !revision.is_empty() && !revision.contains("..") && !revision.contains(['\\', ' ', '?']);
        let is_file = file.is_none_or(|file| !file.is_empty() && stays_inside(file));
        let found = Self { name, revision, file };
        if is_name(name) && is_revision && is_file { Ok(found) } else { Err(HubError::Address(address.to_owned())) }
    }
}

fn stays_inside(file: &str) -> bool {
    Path::new(file).components().all(|part| matches!(part, Component::Normal(_)))
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

/// The one file that an address names.
fn one<'a>(address: &str, file: &'a str, files: &[String]) -> Result<Vec<&'a str>, HubError> {
    match files.iter().any(|there| there == file) {
        true => Ok(vec![file]),
        false => Err(HubError::NoFile { address: address.to_owned(), found: shown(files.iter().map(String::as_str)) }),
    }
}

/// The files that a model is read from: its JSON and vocabulary files, and its weights as safetensors, or else as
/// PyTorch files, or else as one GGUF file. Weights for other programs stay where they are.
fn wanted<'a>(address: &str, files: &'a [String]) -> Result<Vec<&'a str>, HubError> {
    let files: Vec<&str> = files.iter().map(String::as_str).filter(|file| stays_inside(file)).collect();
    let own: Vec<&str> = files.iter().copied().filter(|file| is_of_model(file)).collect();
    let of_form = |(start, end): &(&str, &str)| -> Vec<&str> {
        let is_weights = |file: &&str| {
            let name = file.rsplit('/').next().unwrap_or_default();
            name.starts_with(start) && name.ends_with(end)
        };
        own.iter().copied().filter(is_weights).collect()
    };
    let at_top = |weights: &Vec<&str>| weights.iter().any(|file| !file.contains('/'));
    let forms = [("model", ".safetensors"), ("pytorch_model", ".bin"), ("", ".gguf")];
    let address = || address.to_owned();
    let weights = match forms.iter().map(of_form).find(at_top) {
        None => return Err(HubError::NoWeights { address: address(), found: shown(files.into_iter()) }),
        Some(weights) => weights,
    };
    if let [first, _, ..] = weights.as_slice()
        && first.ends_with(".gguf")
    {
        let (first, found) = ((*first).to_owned(), shown(weights.into_iter()));
        return Err(HubError::Several { address: address(), found, first });
    }
    let beside = |file: &&str| file.ends_with(".json") || TEXTS.contains(file);
    Ok(own.iter().copied().filter(beside).chain(weights.iter().copied()).collect())
}

/// Some files, for messages.
fn shown<'a>(files: impl Iterator<Item = &'a str>) -> String {
    let shown = files.take(6).map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ");
    if shown.is_empty() { "no file at all".to_owned() } else { shown }
}

/// Whether a file lies at the top, or in the folder of a module (`1_Pooling`).
fn is_of_model(file: &str) -> bool {
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
    use super::{Address, HubError, one, wanted};

    #[test]
    fn an_address_names_a_model_and_a_revision() {
        let address = |name, revision, file| Address { name, revision, file };
        assert_eq!(Address::parse("hf://org/name@abc123").unwrap(), address("org/name", "abc123", None));
        assert_eq!(Address::parse("hf://gpt2@refs/pr/1").unwrap(), address("gpt2", "refs/pr/1", None));
        assert_eq!(Address::parse("hf://a/b@c#x/Q4_0.gguf").unwrap(), address("a/b", "c", Some("x/Q4_0.gguf")));
        assert!(matches!(Address::parse("hf://org/name"), Err(HubError::NoRevision(_))));
        for wrong in ["", "@main", "a/b/c@main", "../b@main", "a b@main", "a/b@", "a/b@../x", "a/b@c#", "a/b@c#../x"] {
            assert!(matches!(Address::parse(&format!("hf://{wrong}")), Err(HubError::Address(_))), "{wrong}");
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
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "2_Dense/pytorch_model.bin",
            "adapter_model.safetensors",
        ]);
        let expected = [
            "config.json",
            "1_Pooling/config.json",
            "vocab.txt",
            "2_Dense/config.json",
            "model.safetensors",
            "2_Dense/model.safetensors",
        ];
        assert_eq!(wanted("hf://a/b@c", &files).unwrap(), expected);
        let older = names(&["config.json", "pytorch_model.bin", "training_args.bin"]);
        assert_eq!(wanted("hf://a/b@c", &older).unwrap(), ["config.json", "pytorch_model.bin"]);
        let error = wanted("hf://a/b@c", &names(&["model.onnx"])).unwrap_err();
        assert_eq!(error.to_string(), "`hf://a/b@c` holds no weights that are read, but `model.onnx`");
        assert_eq!(wanted("hf://a/b@c", &names(&["a.gguf", "config.json"])).unwrap(), ["config.json", "a.gguf"]);
    }

    #[test]
    fn one_gguf_file_of_several_is_named() {
        let files = ["a-Q4_0.gguf".to_owned(), "a-Q8_0.gguf".to_owned()];
        let error = wanted("hf://a/b@c", &files).unwrap_err();
        assert_eq!(error.to_string(), "`hf://a/b@c` holds several GGUF files: `a-Q4_0.gguf`, `a-Q8_0.gguf`");
        assert_eq!(error.help().unwrap(), "name one of them: `hf://a/b@c#a-Q4_0.gguf`");
        assert_eq!(one("hf://a/b@c#a-Q8_0.gguf", "a-Q8_0.gguf", &files).unwrap(), ["a-Q8_0.gguf"]);
        let error = one("hf://a/b@c#x", "x", &files).unwrap_err();
        assert_eq!(error.to_string(), "`hf://a/b@c#x` holds no such file, but `a-Q4_0.gguf`, `a-Q8_0.gguf`");
    }
}
