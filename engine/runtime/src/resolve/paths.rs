//! Where a recipe may read: its own directory, then each allowed root.

use std::path::{Path, PathBuf};

use paring_schema::{Diagnostic, Loaded};

/// Directories that a recipe may read, in the order in which relative paths are looked up.
#[derive(Debug, Clone)]
pub struct Places {
    directories: Vec<PathBuf>,
}

impl Places {
    /// The recipe's own directory, then the roots.
    pub fn new(recipe: &Path, roots: &[PathBuf]) -> Self {
        let own = match recipe.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::new(),
        };
        Self { directories: std::iter::once(own).chain(roots.iter().cloned()).collect() }
    }

    /// The file that a path in the recipe names. `pointer` is where the recipe names it.
    ///
    /// # Errors
    /// When there is none, or it lies outside all of the directories.
    pub fn find(&self, loaded: &Loaded, path: &Path, pointer: &str) -> Result<PathBuf, Diagnostic> {
        let found = self.directories.iter().map(|directory| directory.join(path)).find(|path| path.exists());
        let Some(found) = found else { return Err(self.missing(loaded, path, pointer)) };
        if self.allows(&found) {
            return Ok(found);
        }
        let message = format!("`{}` lies outside the directories that this recipe may read", path.display());
        Err(Diagnostic::new("D006", message)
            .label(loaded.span(pointer), "")
            .help("allow its directory on the command line: `--root DIR`"))
    }

    fn allows(&self, path: &Path) -> bool {
        let Ok(real) = path.canonicalize() else { return false };
        self.directories
            .iter()
            .filter_map(|directory| here(directory).canonicalize().ok())
            .any(|root| real.starts_with(root))
    }

    fn missing(&self, loaded: &Loaded, path: &Path, pointer: &str) -> Diagnostic {
        let looked: Vec<String> =
            self.directories.iter().map(|directory| format!("`{}`", here(directory).display())).collect();
        let message = format!("there is no file `{}`", path.display());
        let near = self.near(path).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        Diagnostic::new("D005", message)
            .label(loaded.span(pointer), "")
            .help(format!("{near}relative paths are looked up in {}", looked.join(", then ")))
    }

    /// A file of a similar name in the directory that the path names.
    fn near(&self, path: &Path) -> Option<String> {
        let wanted = path.file_name()?.to_str()?;
        let parent = path.parent()?;
        self.directories.iter().find_map(|directory| {
            let entries = std::fs::read_dir(here(&directory.join(parent))).ok()?;
            let mut names: Vec<String> =
                entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            names.sort();
            let near = paring_schema::suggest::nearest(wanted, names.iter().map(String::as_str))?;
            Some(parent.join(near).display().to_string())
        })
    }
}

/// The directory; the present one where its path is empty.
fn here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}
