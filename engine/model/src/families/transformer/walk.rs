//! The walk over the tensors of a model that others made: what is there decides every width, and is checked once.

use crate::error::{ModelError, Result};
use crate::families::survey::Known;
use crate::sites::{Fold, Role, Site, SiteKind};
use crate::units::{Slice, UnitGroup};

/// The walk so far.
pub(crate) struct Walk<'a> {
    family: &'static str,
    known: Known<'a>,
    /// Sites so far, in forward order.
    pub(crate) sites: Vec<Site>,
    /// Units so far.
    pub(crate) groups: Vec<UnitGroup>,
    /// Where the stream that all layers read and write lies, so far.
    stream: Vec<Slice>,
}

/// A linear layer as its family describes it.
pub(crate) struct Linear<'a> {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) layer: Option<usize>,
    /// Width of what it reads.
    pub(crate) input: usize,
    /// Width of what it writes, where something else decides that.
    pub(crate) output: Option<usize>,
    /// Whether it must have a bias; where not, it has one if there is one.
    pub(crate) bias: bool,
    pub(crate) norm_before: Option<&'a str>,
}

impl<'a> Walk<'a> {
    /// At the start of a model of `family`.
    pub(crate) fn new(family: &'static str, known: Known<'a>) -> Self {
        Self { family, known, sites: Vec::new(), groups: Vec::new(), stream: Vec::new() }
    }

    /// Whether the model has that tensor.
    pub(crate) fn has(&self, tensor: &str) -> bool {
        self.known.contains_key(tensor)
    }

    /// Adds a lookup table, and gives its width, which is `width` where that is known.
    pub(crate) fn table(&mut self, name: &str, width: Option<usize>, tied: bool) -> Result<usize> {
        let weight = format!("{name}.weight");
        let (entries, found) = self.matrix(&weight)?;
        self.expect(&weight, &[entries, width.unwrap_or(found)])?;
        let kind = SiteKind::Embedding { tied };
        self.sites.push(site(name.to_owned(), Role::Embedding, kind, [entries, found]));
        Ok(found)
    }

    /// Adds a linear layer, and gives the width of what it writes.
    pub(crate) fn linear(&mut self, draft: Linear<'_>) -> Result<usize> {
        let weight = format!("{}.weight", draft.name);
        let (outputs, _) = self.matrix(&weight)?;
        let outputs = draft.output.unwrap_or(outputs);
        self.expect(&weight, &[outputs, draft.input])?;
        let bias = format!("{}.bias", draft.name);
        let has_bias = draft.bias || self.has(&bias);
        if has_bias {
            self.expect(&bias, &[outputs])?;
        }
        match draft.role {
            Role::Query | Role::Key | Role::Value | Role::FfnUp | Role::FfnGate => self.carry(&weight, 1),
            Role::AttentionOutput | Role::FfnDown => [weight, bias].iter().for_each(|part| self.carry(part, 0)),
            _ => {}
        }
        self.sites.push(Site {
            layer: draft.layer,
            bias: has_bias,
            norm_before: draft.norm_before.map(str::to_owned),
            ..site(draft.name, draft.role, SiteKind::Linear, [draft.input, outputs])
        });
        Ok(outputs)
    }

    /// Checks a tensor's shape.
    pub(crate) fn expect(&self, name: &str, expected: &[usize]) -> Result<()> {
        let found = self.shape(name)?;
        if found == expected {
            return Ok(());
        }
        Err(ModelError::Shape { name: name.to_owned(), found: found.to_vec(), expected: expected.to_vec() })
    }

    /// Notes that sites read the very same input.
    pub(crate) fn share_input(&mut self, names: &[&str]) {
        for site in self.sites.iter_mut().filter(|site| names.contains(&site.name.as_str())) {
            let others = names.iter().filter(|name| **name != site.name);
            site.shares_input_with = others.map(|&name| name.to_owned()).collect();
        }
    }

    /// Notes what writes the input of sites.
    pub(crate) fn fold(&mut self, names: &[&str], into: &Fold) {
        for site in self.sites.iter_mut().filter(|site| names.contains(&site.name.as_str())) {
            site.fold = Some(into.clone());
        }
    }

    /// How many pieces of `width` rows the outputs of a site are.
    pub(crate) fn pieces(&self, name: &str, outputs: usize, width: usize) -> Result<usize> {
        if outputs > 0 && outputs.is_multiple_of(width.max(1)) {
            return Ok(outputs / width.max(1));
        }
        let reason = format!("`{name}.weight` has {outputs} rows, expected a multiple of the head width {width}");
        Err(self.wrong(reason))
    }

    /// Adds removable units: each owns some rows of the sites that write them and columns of the one that reads them.
    pub(crate) fn group(&mut self, kind: &'static str, count: usize, writers: &[(&str, usize)], reader: (&str, usize)) {
        let Some(&(first, _)) = writers.first() else { return };
        let mut slices = Vec::new();
        let mut slice = |tensor: String, axis, width| slices.push(Slice { tensor, axis, width, offset: 0 });
        for (name, width) in writers {
            slice(format!("{name}.weight"), 0, *width);
            if self.has(&format!("{name}.bias")) {
                slice(format!("{name}.bias"), 0, *width);
            }
        }
        slice(format!("{}.weight", reader.0), 1, reader.1);
        self.groups.push(UnitGroup { site: first.to_owned(), kind, count, slices });
    }

    /// Notes that a dimension of a tensor, if there is such a tensor, is the stream.
    pub(crate) fn carry(&mut self, tensor: &str, axis: usize) {
        if self.has(tensor) {
            self.stream.push(Slice { tensor: tensor.to_owned(), axis, width: 1, offset: 0 });
        }
    }

    /// Whether the stream lies in a tensor.
    pub(crate) fn carries(&self, tensor: &str) -> bool {
        self.stream.iter().any(|slice| slice.tensor == tensor)
    }

    /// The numbers of the stream, `count` of them, which the site `site` writes first.
    pub(crate) fn into_stream(self, site: String, count: usize) -> UnitGroup {
        UnitGroup { site, kind: "dimensions", count, slices: self.stream }
    }

    /// The tensors there are.
    pub(crate) fn known(&self) -> Known<'a> {
        self.known
    }

    /// The error for tensors that are no model of this family.
    pub(crate) fn wrong(&self, reason: String) -> ModelError {
        ModelError::Config { family: self.family.to_owned(), reason }
    }

    /// The rows and columns of a matrix, neither of which is zero.
    fn matrix(&self, name: &str) -> Result<(usize, usize)> {
        match *self.shape(name)? {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            ref found => Err(self.wrong(format!("tensor `{name}` has shape {found:?}, expected a matrix"))),
        }
    }

    fn shape(&self, name: &str) -> Result<&[usize]> {
        let missing = || ModelError::MissingTensor { name: name.to_owned() };
        Ok(self.known.get(name).ok_or_else(missing)?.shape())
    }
}

fn site(name: String, role: Role, kind: SiteKind, [in_features, out_features]: [usize; 2]) -> Site {
    Site {
        name,
        role,
        kind,
        layer: None,
        in_features,
        out_features,
        bias: false,
        positions: 1,
        norm_before: None,
        fold: None,
        shares_input_with: Vec::new(),
    }
}

/// The first of the sites, one a layer, that gives other than as many numbers as the one before it; said in words.
pub(crate) fn uneven(sites: impl Iterator<Item = String>, known: Known<'_>) -> Option<String> {
    let rows = |site: &String| known.get(&format!("{site}.weight")).and_then(|weight| weight.shape().first().copied());
    let sites: Vec<(String, usize)> = sites.filter_map(|site| rows(&site).map(|rows| (site, rows))).collect();
    sites.windows(2).find_map(|pair| match pair {
        [(one, first), (other, second)] if first != second => {
            Some(format!("`{one}` has {first} outputs and `{other}` {second}, and it has one width for all layers"))
        }
        _ => None,
    })
}
