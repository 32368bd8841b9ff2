//! JSON fields as they come, before anything is asked of them.
//!
//! Typed fields would make serde refuse a whole event without saying which field is wrong, so each is read as whatever it
//! is. Text is borrowed from the body unless it holds escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::{Code, MAX_ITEM_BYTES, Rejection};

/// What stands in a field that should hold a text, number or boolean.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Field<'a> {
    /// Nothing, or `null`.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Integer(i128),
    Fraction(f64),
    Boolean(bool),
    /// A list or an object.
    Compound,
}

impl Field<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            // serde reads integers of more than 64 bits as this, too.
            Self::Fraction(number) if *number >= u64::MAX as f64 || *number <= i64::MIN as f64 => {
                "a number of more than 64 bits"
            }
            Self::Fraction(_) => "a decimal number",
            Self::Boolean(_) => "a boolean",
            Self::Compound => "a list or an object",
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

/// One event or product, as far as it is a JSON object of a permitted size.
pub(super) fn read_object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Rejection> {
    if json.len() > MAX_ITEM_BYTES {
        let detail = format!("{} bytes of JSON, at most {MAX_ITEM_BYTES} are allowed", json.len());
        return Err(Rejection::new(Code::TooLarge, detail));
    }
    // serde would also take a list, as the fields in their order.
    if !json.trim_start().starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(json) {
            Ok(_) => Rejection::new(Code::NotAnObject, "expected a JSON object"),
            Err(error) => malformed(&error),
        });
    }
    serde_json::from_str(json).map_err(|error| match error.classify() {
        // Each field takes whatever stands there, so nothing else can be wrong with an object's data.
        Category::Data => Rejection::new(Code::DuplicateField, error.to_string()),
        _ => malformed(&error),
    })
}

pub(crate) fn malformed(error: &serde_json::Error) -> Rejection {
    Rejection::new(Code::MalformedJson, format!("not JSON: {error}"))
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Field::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Field::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Field::Fraction(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::Boolean(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Compound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Compound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_value_is_read_as_what_it_is() {
        let cases = [
            ("null", Field::Absent),
            (r#""a""#, Field::Text("a".into())),
            (r#""a\n""#, Field::Text("a\n".into())),
            ("18446744073709551615", Field::Integer(u64::MAX.into())),
            ("-3", Field::Integer(-3)),
            ("2.5", Field::Fraction(2.5)),
            ("true", Field::Boolean(true)),
            (r#"{"a":[1]}"#, Field::Compound),
            ("[1,[2]]", Field::Compound),
        ];
        for (json, expected) in cases {
            assert_eq!(serde_json::from_str::<Field<'_>>(json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn a_number_is_called_what_it_is() {
        for (json, expected) in [
            ("18446744073709551615", "an integer"),
            ("-9223372036854775808", "an integer"),
            ("18446744073709551616", "a number of more than 64 bits"),
            ("-9223372036854775809", "a number of more than 64 bits"),
            ("1180591620717411303424", "a number of more than 64 bits"),
            ("2.5", "a decimal number"),
            ("2.0", "a decimal number"),
        ] {
            assert_eq!(serde_json::from_str::<Field<'_>>(json).unwrap().kind(), expected, "{json}");
        }
    }

    #[test]
    fn plain_text_is_borrowed_from_the_body() {
        let field: Field<'_> = serde_json::from_str(r#""plain""#).unwrap();
        assert!(matches!(field, Field::Text(Cow::Borrowed("plain"))));
    }
}
