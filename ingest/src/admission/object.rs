//! Free-form objects (`metadata`, `attributes`): kept as they were sent, within limits.

use serde_json::value::RawValue;

use super::{Code, Rejection};

/// How deeply a free-form object may be nested; itself is the first level.
const MAX_DEPTH: usize = 8;

/// The object's text; empty where there is none.
pub(super) fn text(value: Option<&RawValue>, code: Code, name: &'static str) -> Result<String, Rejection> {
    let json = match value.map(RawValue::get) {
        None | Some("null") => return Ok(String::new()),
        Some(json) => json,
    };
    if !json.starts_with('{') {
        return Err(Rejection::new(code, format!("`{name}` is not an object")));
    }
    if depth(json) > MAX_DEPTH {
        let detail = format!("`{name}` is nested more than {MAX_DEPTH} levels deep");
        return Err(Rejection::new(code, detail));
    }
    Ok(json.to_owned())
}

/// The depth of a JSON text, which is known to be well-formed.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text) = (0usize, 0, false);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => drop(bytes.next()),
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth -= 1,
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_text_only() {
        for (json, expected) in [
            ("{}", 1),
            (r#"{"a":[1,{"b":2}]}"#, 3),
            (r#"{"a":"[[[[{{{","b":"\"[\\"}"#, 1),
            (r#"{"a":{},"b":{}}"#, 2),
        ] {
            assert_eq!(depth(json), expected, "{json}");
        }
    }
}
