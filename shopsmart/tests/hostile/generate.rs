//! Values that follow a schema of the description, and values that do not.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::schema::{Description, types};

/// Ids that meet again in later requests.
const IDS: [&str; 6] = ["ada", "bob", "kettle", "teapot", "home", "7"];

/// A value that the schema allows.
pub fn valid(description: &Description, schema: &Value, random: &mut Rng) -> Value {
    let schema = description.resolve(schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        return valid(description, random.choice(choices).unwrap(), random);
    }
    if let Some(allowed) = schema["enum"].as_array() {
        return random.choice(allowed).unwrap().clone();
    }
    match random.choice(types(schema)).unwrap_or("string") {
        "null" => Value::Null,
        "boolean" => random.bool().into(),
        "integer" => integer(schema, random),
        "number" => (random.f64() * 100.0).into(),
        "array" => {
            let items = &schema["items"];
            (0..random.usize(0..4)).map(|_| valid(description, items, random)).collect()
        }
        "object" => object(description, schema, random),
        _ => text(schema, random).into(),
    }
}

fn integer(schema: &Value, random: &mut Rng) -> Value {
    let least = schema["minimum"].as_i64().unwrap_or(0);
    let most = schema["maximum"].as_i64().unwrap_or(least + 1_000);
    random.i64(least..=most).into()
}

fn object(description: &Description, schema: &Value, random: &mut Rng) -> Value {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut members = Map::new();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if required.contains(&json!(name)) || random.bool() {
            members.insert(name.clone(), valid(description, schema, random));
        }
    }
    members.into()
}

/// # Panics
/// When the description uses a pattern that is not known here.
fn text(schema: &Value, random: &mut Rng) -> String {
    let one_of = |random: &mut Rng, texts: &[&str]| (*random.choice(texts).unwrap()).to_owned();
    match (schema["pattern"].as_str(), schema["format"].as_str()) {
        (Some("^[A-Za-z]{3}$"), _) => one_of(random, &["EUR", "usd"]),
        (Some("^(1h|24h|7d|30d)$"), _) => one_of(random, &["1h", "24h", "7d", "30d"]),
        (Some(pattern), _) => panic!("no text for the pattern {pattern}"),
        (None, Some("date-time")) => {
            one_of(random, &["2026-11-01T00:00:00Z", "2020-02-29T23:59:59.999+14:00"])
        }
        (None, _) => one_of(random, &IDS),
    }
}

/// A value that follows no schema in particular.
pub fn junk(random: &mut Rng) -> Value {
    let huge = || "x".repeat(5_000);
    match random.u32(0..16) {
        0 => Value::Null,
        1 => true.into(),
        2 => (-1).into(),
        3 => 0.into(),
        4 => u64::MAX.into(),
        5 => i64::MIN.into(),
        6 => 1e308.into(),
        7 => 0.5.into(),
        8 => "".into(),
        9 => huge().into(),
        10 => "\u{0}\u{7f}\u{202e}\u{fffd}é".into(),
        11 => "null".into(),
        12 => json!([]),
        13 => json!({}),
        14 => json!([[[[{"a": [null]}]]]]),
        _ => json!({"$ref": "#", "__proto__": {"a": 1}, huge(): huge()}),
    }
}

/// What is sent instead of a valid value: a part of it, or all of it, is something else.
pub fn broken(mut value: Value, random: &mut Rng) -> Value {
    let is_leaf = !matches!(&value, Value::Object(members) if !members.is_empty())
        && !matches!(&value, Value::Array(items) if !items.is_empty());
    if is_leaf || random.u32(0..8) == 0 {
        return junk(random);
    }
    match &mut value {
        Value::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = random.choice(names).expect("it has some");
            let member = members.remove(&name).expect("it was there");
            match random.u32(0..4) {
                0 => {}
                1 => drop(members.insert(format!("{name}_"), member)),
                _ => drop(members.insert(name, broken(member, random))),
            }
        }
        Value::Array(items) => {
            let place = random.usize(0..items.len());
            items[place] = broken(items[place].take(), random);
        }
        _ => unreachable!("a leaf is replaced above"),
    }
    value
}
