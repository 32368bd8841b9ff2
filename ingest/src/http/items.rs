//! The items of a batch, each still as JSON, so that a bad one does not sink the others.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::body::{Body, Form, not_text};
use crate::admission::{Code, Rejection, malformed};

/// The most items of a batch.
pub(super) const MAX_ITEMS: usize = 1_000;

/// A batch, borrowed from its body.
#[derive(Debug, Default)]
pub(super) struct Items<'a> {
    /// When the sender says that it sent the batch.
    pub(super) sent_at: Option<&'a RawValue>,
    /// The items in order; a line that is not even text is refused already.
    pub(super) items: Vec<Result<&'a str, Rejection>>,
}

impl<'a> Items<'a> {
    /// The items of a list, of an object with a list called `events` or `products`, or of lines.
    pub(super) fn of(body: &'a Body) -> Result<Self, Rejection> {
        Self::read(body.form, body.bytes())
    }

    /// The items of a decompressed body.
    pub(super) fn read(form: Form, body: &'a [u8]) -> Result<Self, Rejection> {
        let items = match form {
            Form::Json => Self::of_json(std::str::from_utf8(body).map_err(not_text)?)?,
            Form::Lines => Self::of_lines(body),
        };
        if items.items.len() > MAX_ITEMS {
            let detail = format!("the batch has more than {MAX_ITEMS} items");
            return Err(Rejection::new(Code::TooManyItems, detail));
        }
        Ok(items)
    }

    fn of_lines(body: &'a [u8]) -> Self {
        let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let items =
            lines.take(MAX_ITEMS + 1).map(|line| std::str::from_utf8(line).map_err(not_text)).collect();
        Self { sent_at: None, items }
    }

    fn of_json(body: &'a str) -> Result<Self, Rejection> {
        let (sent_at, list) = match body.trim_start().as_bytes().first() {
            Some(b'[') => (None, serde_json::from_str(body).map_err(|error| malformed(&error))?),
            Some(b'{') => {
                let object: Object<'a> =
                    serde_json::from_str(body).map_err(|error| match error.classify() {
                        serde_json::error::Category::Data => not_a_batch(),
                        _ => malformed(&error),
                    })?;
                (object.sent_at, object.list.ok_or_else(not_a_batch)?)
            }
            _ => {
                serde_json::from_str::<IgnoredAny>(body).map_err(|error| malformed(&error))?;
                return Err(not_a_batch());
            }
        };
        Ok(Self { sent_at, items: list.0.into_iter().map(|item| Ok(item.get())).collect() })
    }
}

fn not_a_batch() -> Rejection {
    Rejection::new(
        Code::NotABatch,
        "expected a JSON list, or an object with the list `events` (or `products`)",
    )
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    sent_at: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "events", alias = "products")]
    list: Option<List<'a>>,
}

/// At most one more than allowed: two megabytes of commas must not become a huge list.
struct List<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() <= MAX_ITEMS {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(List(items)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(List(items))
    }
}
