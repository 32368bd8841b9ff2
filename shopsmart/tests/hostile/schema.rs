//! Whether a JSON value is what a schema of the description says: the words of JSON Schema that the description uses.

use serde_json::Value;

/// A description of an API, to look schemas up in.
pub struct Description(pub Value);

impl Description {
    /// The schema itself, or the one that it refers to.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => self.0.pointer(&place[1..]).unwrap_or_else(|| panic!("there is no {place}")),
            None => schema,
        }
    }

    /// What is wrong with a value, and where; `None` when nothing is.
    pub fn violation(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let schema = self.resolve(schema);
        let wrong = |what: String| Some(format!("{at}: {what}: {value}"));
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = choices.iter().filter(|choice| self.violation(choice, value, at).is_none()).count();
            return if fits == 1 { None } else { wrong(format!("fits {fits} of {choices:?}")) };
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            return wrong(format!("is none of {allowed:?}"));
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|kind| is_of_type(value, kind)) {
            return wrong(format!("is not of {types:?}"));
        }
        let outside = |number: f64| {
            schema["minimum"].as_f64().is_some_and(|least| number < least)
                || schema["maximum"].as_f64().is_some_and(|most| number > most)
        };
        if value.as_f64().is_some_and(outside) {
            return wrong("is out of range".to_owned());
        }
        if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
            return list
                .iter()
                .enumerate()
                .find_map(|(index, item)| self.violation(items, item, &format!("{at}[{index}]")));
        }
        let members = value.as_object()?;
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = required.into_iter().find(|name| !members.contains_key(*name)) {
            return wrong(format!("lacks {name}"));
        }
        let known = schema["properties"].as_object();
        members.iter().find_map(|(name, member)| match known.and_then(|known| known.get(name)) {
            Some(schema) => self.violation(schema, member, &format!("{at}.{name}")),
            // Clients are generated from the description: what it does not say, they do not see.
            None if known.is_some() && schema.get("additionalProperties").is_none() => {
                Some(format!("{at}: is not said to have {name}"))
            }
            None => None,
        })
    }
}

/// The types that a value may have; none named = any.
pub fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the description names the type {other}"),
    }
}

#[test]
fn what_does_not_fit_a_schema_is_noticed() {
    let description = serde_json::json!({"items": {"type": "object", "required": ["k"], "properties": {
        "k": {"type": "integer", "minimum": 1}, "of": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        "list": {"type": "array", "items": {"enum": ["a"]}},
    }}});
    let description = Description(description);
    let schema = serde_json::json!({"$ref": "#/items"});
    let fits = |value: Value| description.violation(&schema, &value, "$").is_none();
    assert!(fits(serde_json::json!({"k": 1, "of": null, "list": ["a", "a"]})));
    for wrong in [
        r#"{}"#,
        r#"{"k":0}"#,
        r#"{"k":1.5}"#,
        r#"{"k":1,"of":2}"#,
        r#"{"k":1,"list":["b"]}"#,
        r#"{"k":1,"x":1}"#,
        "[]",
    ] {
        assert!(!fits(serde_json::from_str(wrong).unwrap()), "{wrong}");
    }
}
