//! What a scalar means: a copy of the rules of `go.yaml.in/yaml/v2` (`resolve.go`), which read
//! every manifest that reaches a cluster through `kubectl`.
//!
//! Those are YAML 1.1's: `yes` is a boolean, `0644` an octal number, `1_000` a thousand.

use serde_json::{Number, Value};

/// A scalar as it stands in the text.
pub(super) struct Scalar<'a> {
    pub(super) text: &'a str,
    /// Without quotes, and no block scalar.
    pub(super) plain: bool,
    /// The name behind `!!`; another kind of tag is the empty name.
    pub(super) tag: Option<&'a str>,
}

/// A scalar's meaning.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

/// The meaning, or why there is none.
pub(super) fn resolve<'a>(scalar: &Scalar<'a>) -> Result<Meaning<'a>, String> {
    let text = scalar.text;
    let wanted = match scalar.tag {
        None if scalar.plain => return Ok(implicit(text)),
        None => return Ok(Meaning::Text(text)),
        Some(tag @ ("null" | "bool" | "int" | "float")) => tag,
        Some(_) => return Ok(Meaning::Text(text)),
    };
    match (wanted, implicit(text)) {
        ("null", Meaning::Null) => Ok(Meaning::Null),
        ("bool", meaning @ Meaning::Bool(_)) => Ok(meaning),
        ("int", meaning @ (Meaning::Signed(_) | Meaning::Unsigned(_))) => Ok(meaning),
        ("float", meaning @ (Meaning::Signed(_) | Meaning::Float(_))) => Ok(meaning),
        _ => Err(format!("`{text}` is tagged `!!{wanted}` but is none")),
    }
}

impl Meaning<'_> {
    /// The JSON value, or why JSON has none.
    pub(super) fn value(&self) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Signed(number) => Value::from(*number),
            Self::Unsigned(number) => Value::from(*number),
            Self::Float(number) => Value::Number(json_number(*number)?),
            Self::Text(text) => Value::String((*text).to_owned()),
        })
    }

    /// The name this gives a field, or why it cannot: JSON's names are strings, so numbers and
    /// booleans are written out.
    pub(super) fn key(&self) -> Result<String, String> {
        Ok(match self {
            Self::Null => return Err("a key must be a string, and this one is null".to_owned()),
            Self::Unsigned(_) => return Err("a key must be a string, not so large a number".into()),
            Self::Bool(bool) => bool.to_string(),
            Self::Signed(number) => number.to_string(),
            Self::Float(number) => float_key(*number),
            Self::Text(text) => (*text).to_owned(),
        })
    }
}

fn implicit(text: &str) -> Meaning<'_> {
    let Some(first) = text.bytes().next() else {
        return Meaning::Null;
    };
    let number = match first {
        b'0'..=b'9' | b'+' | b'-' => number(text),
        b'.' => decimal(text),
        _ => None,
    };
    number.or_else(|| word(text)).unwrap_or(Meaning::Text(text))
}

fn word(text: &str) -> Option<Meaning<'static>> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Meaning::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Meaning::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" => Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Meaning::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn number(text: &str) -> Option<Meaning<'static>> {
    let text = &*text.replace('_', "");
    integer(text).or_else(|| decimal(text))
}

/// Go's `strconv.ParseInt` and `ParseUint` with base 0: the prefix chooses the base.
fn integer(text: &str) -> Option<Meaning<'static>> {
    let signless = text.strip_prefix(['+', '-']);
    let digits = signless.unwrap_or(text);
    let (digits, base) = match digits.as_bytes() {
        [] => return None,
        [b'0'] => return Some(Meaning::Signed(0)),
        [b'0', b'x' | b'X', _, ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', _, ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', _, ..] => (&digits[2..], 2),
        [b'0', ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    // Rust's parser would take a second sign.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if text.starts_with('-') {
        return 0i64.checked_sub_unsigned(magnitude).map(Meaning::Signed);
    }
    match i64::try_from(magnitude) {
        Ok(number) => Some(Meaning::Signed(number)),
        // Only an unsigned number is that large, and it takes no sign in Go.
        Err(_) if signless.is_some() => None,
        Err(_) => Some(Meaning::Unsigned(magnitude)),
    }
}

fn decimal(text: &str) -> Option<Meaning<'static>> {
    // Rust also knows `inf` and `nan`, which are words here.
    let digits = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(digits) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(Meaning::Float(number))
}

/// Go writes a float without a fraction as an integer, so `80.0` and `8e1` arrive as `80`.
fn json_number(number: f64) -> Result<Number, String> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && number.abs() < TWO_TO_63 {
        return Ok(Number::from(number as i64));
    }
    if number.fract() == 0.0 && (0.0..2.0 * TWO_TO_63).contains(&number) {
        return Ok(Number::from(number as u64));
    }
    Number::from_f64(number).ok_or_else(|| format!("`{}` has no form in JSON", float_key(number)))
}

/// Go's `strconv.FormatFloat(f, 'g', -1, 32)`, with YAML's words for what is no number.
fn float_key(number: f64) -> String {
    let number = number as f32;
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) if !(-4..6).contains(&exponent) => format!("{digits}e{exponent:+03}"),
            _ => number.to_string(),
        },
        None => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::{Meaning, Scalar, implicit, resolve};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value(text: &str) -> Value {
        implicit(text).value().unwrap_or(json!("no JSON"))
    }

    /// Written by `sigs.k8s.io/yaml` v1.6.0 for the same texts.
    #[test]
    fn plain_scalars_mean_what_go_says() {
        let cases = [
            ("", json!(null)),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("nULL", json!("nULL")),
            ("yes", json!(true)),
            ("y", json!(true)),
            ("On", json!(true)),
            ("oN", json!("oN")),
            ("n", json!(false)),
            ("OFF", json!(false)),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("+5", json!(5)),
            ("80", json!(80)),
            ("0644", json!(420)),
            ("0o17", json!(15)),
            ("0O17", json!(15)),
            ("08", json!(8)),
            ("0x1F", json!(31)),
            ("-0x1f", json!(-31)),
            ("0x", json!("0x")),
            ("0b101", json!(5)),
            ("0b2", json!("0b2")),
            ("1_000", json!(1000)),
            ("_1", json!("_1")),
            ("--1", json!("--1")),
            ("0x-1", json!("0x-1")),
            ("9223372036854775807", json!(i64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!(18446744073709551616.0)),
            ("80.0", json!(80)),
            ("8e1", json!(80)),
            ("1.5", json!(1.5)),
            ("1.", json!(1)),
            (".5", json!(0.5)),
            ("+.5", json!(0.5)),
            (".", json!(".")),
            ("-", json!("-")),
            ("1e", json!("1e")),
            ("1e999", json!("1e999")),
            ("inf", json!("inf")),
            ("nan", json!("nan")),
            ("+inf", json!("+inf")),
            (".nan", json!("no JSON")),
            ("-.inf", json!("no JSON")),
            ("2024-01-01", json!("2024-01-01")),
            ("12:30:45", json!("12:30:45")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("<<", json!("<<")),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn quotes_and_tags_choose() {
        let cases = [
            ("yes", false, None, Ok(Meaning::Text("yes"))),
            ("80", true, Some("str"), Ok(Meaning::Text("80"))),
            ("80", true, Some(""), Ok(Meaning::Text("80"))),
            ("80", false, Some("int"), Ok(Meaning::Signed(80))),
            ("80", true, Some("float"), Ok(Meaning::Signed(80))),
            ("no", false, Some("bool"), Ok(Meaning::Bool(false))),
            ("", true, Some("null"), Ok(Meaning::Null)),
        ];
        for (text, plain, tag, expected) in cases {
            assert_eq!(resolve(&Scalar { text, plain, tag }), expected, "{text:?}");
        }
    }

    /// Written by `sigs.k8s.io/yaml` v1.6.0 for the same texts.
    #[test]
    fn keys_become_strings() {
        let cases = [
            ("80", "80"),
            ("0x10", "16"),
            ("on", "true"),
            ("no", "false"),
            ("1.50", "1.5"),
            ("1e30", "1e+30"),
            ("1e7", "1e+07"),
            ("12345678.5", "1.2345678e+07"),
            ("0.0001", "0.0001"),
            ("1e-7", "1e-07"),
            (".inf", ".inf"),
            ("-.inf", "-.inf"),
            (".nan", ".nan"),
            ("name", "name"),
        ];
        for (text, expected) in cases {
            assert_eq!(implicit(text).key().as_deref(), Ok(expected), "{text:?}");
        }
        assert!(implicit("~").key().is_err());
        assert!(implicit("18446744073709551615").key().is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+.0-9a-fxob_eEnNyY~:]{0,24}|\\PC{0,12}") {
            _ = value(&text);
            _ = implicit(&text).key();
        }
    }
}
