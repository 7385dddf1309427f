//! What an unquoted scalar means: the YAML 1.2 core schema, so that `yes` is a text and `1e-4` a number.

use serde_yaml::Value;

/// Resolves an unquoted scalar. `None`: an infinite or undefined number, which no setting of a recipe can use.
pub fn resolve_plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    if is_not_finite(text) {
        return None;
    }
    if let Some(integer) = integer(text) {
        return Some(integer);
    }
    if !is_decimal(text) {
        return Some(Value::String(text.to_owned()));
    }
    let float = text.parse::<f64>().ok()?;
    float.is_finite().then(|| Value::Number(float.into()))
}

fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// Decimal, `0x` and `0o` integers. Digits that begin with a superfluous zero are a text: they name things.
fn integer(text: &str) -> Option<Value> {
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| u64_of(digits, radix));
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Some(Value::Number(number.into()));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) || has_leading_zero(unsigned) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let number = text.parse::<i64>().map(Into::into).or_else(|_| text.parse::<u64>().map(Into::into));
    number.ok().map(Value::Number)
}

fn u64_of(digits: &str, radix: u32) -> Option<u64> {
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

fn has_leading_zero(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let some_digit = !(whole.is_empty() && fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|part| !part.is_empty() && digits(part));
    digits(whole) && digits(fraction) && some_digit && exponent_fits && !has_leading_zero(whole)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_yaml::Value;

    use super::resolve_plain;

    #[rstest]
    #[case("1e-4", Value::from(1e-4))]
    #[case("1E3", Value::from(1000.0))]
    #[case(".5", Value::from(0.5))]
    #[case("5.", Value::from(5.0))]
    #[case("-7", Value::from(-7))]
    #[case("+7", Value::from(7))]
    #[case("0x1F", Value::from(31_u64))]
    #[case("0o17", Value::from(15_u64))]
    #[case("0", Value::from(0))]
    #[case("18446744073709551615", Value::from(u64::MAX))]
    #[case("null", Value::Null)]
    #[case("~", Value::Null)]
    #[case("True", Value::from(true))]
    #[case("yes", Value::from("yes"))]
    #[case("on", Value::from("on"))]
    #[case("007", Value::from("007"))]
    #[case("1_000", Value::from("1_000"))]
    #[case("1.2.3", Value::from("1.2.3"))]
    #[case("10%", Value::from("10%"))]
    #[case("e5", Value::from("e5"))]
    #[case(".", Value::from("."))]
    #[case("1e", Value::from("1e"))]
    #[case("-", Value::from("-"))]
    fn core_schema(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(resolve_plain(text), Some(expected));
    }

    #[rstest]
    #[case(".inf")]
    #[case("-.INF")]
    #[case(".nan")]
    #[case("1e999")]
    fn numbers_without_a_value_are_refused(#[case] text: &str) {
        assert_eq!(resolve_plain(text), None);
    }
}
