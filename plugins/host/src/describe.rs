//! Reading a plugin's description into owned, checked values.

use std::path::Path;

use paring_plugin_abi::{PassInfo, Plugin, REQUIRES_ISOLATION, Str};
use serde_json::Value;

use crate::error::PluginError;

/// Longest text and largest number of passes believed: beyond it a description is taken for damaged.
const LARGEST: usize = 1 << 20;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginDescription {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SPDX licence expression.
    pub license: String,
    /// Compiler and settings.
    pub build_info: String,
    /// Must run in a process of its own.
    pub requires_isolation: bool,
    /// Its passes.
    pub passes: Vec<PassDescription>,
}

/// What a plugin says of one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct PassDescription {
    /// `kind/name`.
    pub id: String,
    /// One line.
    pub summary: String,
    /// What it needs.
    pub needs: Vec<String>,
    /// What it leaves.
    pub leaves: Vec<String>,
    /// JSON Schema of its parameter block.
    pub parameters_schema: Value,
}

/// Reads the description of a plugin whose prefix was found to fit.
pub(crate) fn describe(path: &Path, plugin: &'static Plugin) -> Result<PluginDescription, PluginError> {
    let reader = Reader { path };
    Ok(PluginDescription {
        name: reader.text("name", plugin.name)?,
        version: reader.text("version", plugin.version)?,
        license: reader.text("license", plugin.license)?,
        build_info: reader.text("build_info", plugin.build_info)?,
        requires_isolation: plugin.flags & REQUIRES_ISOLATION != 0,
        passes: reader.passes(plugin)?,
    })
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn wrong(&self, reason: String) -> PluginError {
        PluginError::Description { path: self.path.to_path_buf(), reason }
    }

    fn text(&self, field: &str, text: Str) -> Result<String, PluginError> {
        if text.length == 0 {
            return Ok(String::new());
        }
        if text.data.is_null() || text.length > LARGEST {
            return Err(self.wrong(format!("`{field}` is a null pointer or longer than {LARGEST} bytes")));
        }
        // SAFETY: the interface promises `length` readable bytes for as long as the plugin is loaded.
        #[allow(unsafe_code, reason = "borrows the plugin's static text")]
        let bytes = unsafe { std::slice::from_raw_parts(text.data, text.length) };
        String::from_utf8(bytes.to_vec()).map_err(|_| self.wrong(format!("`{field}` is not UTF-8")))
    }

    fn json(&self, field: &str, text: Str) -> Result<Value, PluginError> {
        serde_json::from_str(&self.text(field, text)?)
            .map_err(|error| self.wrong(format!("`{field}` is not JSON: {error}")))
    }

    fn names(&self, field: &str, text: Str) -> Result<Vec<String>, PluginError> {
        serde_json::from_value(self.json(field, text)?)
            .map_err(|_| self.wrong(format!("`{field}` is not a list of names")))
    }

    fn passes(&self, plugin: &'static Plugin) -> Result<Vec<PassDescription>, PluginError> {
        if plugin.pass_count > LARGEST || (plugin.passes.is_null() && plugin.pass_count > 0) {
            return Err(self.wrong("`passes` is a null pointer or claims too many passes".to_owned()));
        }
        (0..plugin.pass_count).map(|index| self.pass(plugin, index)).collect()
    }

    fn pass(&self, plugin: &'static Plugin, index: usize) -> Result<PassDescription, PluginError> {
        // SAFETY: the interface promises `pass_count` readable pointers; `index` is below it.
        #[allow(unsafe_code, reason = "reads one pointer of the plugin's static array")]
        let address = unsafe { plugin.passes.add(index).read() };
        if address.is_null() || !address.is_aligned() {
            return Err(self.wrong(format!("pass {index} is a null or misaligned pointer")));
        }
        // SAFETY: non-null and aligned; `struct_size` is its first field in every version.
        #[allow(unsafe_code, reason = "reads the size before anything else")]
        let size = unsafe { address.cast::<u32>().read() } as usize;
        if size < size_of::<PassInfo>() {
            return Err(self.wrong(format!("pass {index} is shorter than its version says")));
        }
        // SAFETY: the size was checked, and descriptions are static and immutable.
        #[allow(unsafe_code, reason = "reads the plugin's static description")]
        let info = unsafe { &*address };
        self.pass_fields(info)
    }

    fn pass_fields(&self, info: &'static PassInfo) -> Result<PassDescription, PluginError> {
        let id = self.text("id", info.id)?;
        if id.split('/').filter(|part| !part.is_empty()).count() != 2 {
            return Err(self.wrong(format!("the id `{id}` is not of the form `kind/name`")));
        }
        Ok(PassDescription {
            id,
            summary: self.text("summary", info.summary)?,
            needs: self.names("needs", info.needs)?,
            leaves: self.names("leaves", info.leaves)?,
            parameters_schema: self.json("parameters_schema", info.parameters_schema)?,
        })
    }
}
