//! `$name`, `${name}` and `$$` in a text.

/// A text with its variables found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Template<'a> {
    /// The whole text is one variable.
    Whole(&'a str),
    /// Texts, as they are meant, and variables between them.
    Pieces(Vec<Piece<'a>>),
}

/// A part of a longer text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misuse<'a> {
    /// `${` without a name and `}` after it.
    Unclosed,
    /// `$name` inside a longer text.
    Bare(&'a str),
}

/// Finds the variables of a text. A `$` that begins no name stands for itself.
pub(super) fn parse(text: &str) -> Result<Template<'_>, Misuse<'_>> {
    if let Some(name) = text.strip_prefix('$').filter(|name| is_name(name)) {
        return Ok(Template::Whole(name));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        pieces.push(Piece::Text(before));
        let (piece, after) = piece(after)?;
        pieces.push(piece);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(Template::Pieces(pieces))
}

/// What stands after a `$`.
fn piece(after: &str) -> Result<(Piece<'_>, &str), Misuse<'_>> {
    if let Some(after) = after.strip_prefix('$') {
        return Ok((Piece::Text("$"), after));
    }
    if let Some(after) = after.strip_prefix('{') {
        let (name, after) = after.split_once('}').ok_or(Misuse::Unclosed)?;
        return if is_name(name) { Ok((Piece::Name(name), after)) } else { Err(Misuse::Unclosed) };
    }
    let end = after.find(|c: char| !is_name_character(c)).unwrap_or(after.len());
    match after.get(..end) {
        Some(name) if is_name(name) => Err(Misuse::Bare(name)),
        _ => Ok((Piece::Text("$"), after)),
    }
}

/// Whether a text can name a variable: a letter or `_`, then letters, digits and `_`.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_name_character)
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::Piece::{Name, Text};
    use super::{Misuse, Template, parse};

    #[test]
    fn templates() {
        assert_eq!(parse("$lr"), Ok(Template::Whole("lr")));
        assert_eq!(parse("run-${lr}-x"), Ok(Template::Pieces(vec![Text("run-"), Name("lr"), Text("-x")])));
        assert_eq!(parse("$$lr"), Ok(Template::Pieces(vec![Text("$"), Text("lr")])));
        assert_eq!(parse("re:^a$"), Ok(Template::Pieces(vec![Text("re:^a"), Text("$")])));
        assert_eq!(parse("costs $5"), Ok(Template::Pieces(vec![Text("costs "), Text("$"), Text("5")])));
        assert_eq!(parse("at $lr now"), Err(Misuse::Bare("lr")));
        assert_eq!(parse("${lr"), Err(Misuse::Unclosed));
        assert_eq!(parse("${1}"), Err(Misuse::Unclosed));
    }
}
