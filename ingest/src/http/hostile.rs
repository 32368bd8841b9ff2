//! Whatever a body holds, reading it ends with a refusal or with records that keep every rule.
//!
//! The function here is the body of a fuzz target (`cargo xtask fuzz`) and of the bounded run in the tests below.

use schemas::event::{MAX_AHEAD_MS, MAX_ID_BYTES, MAX_TIME_MS};
use schemas::proto::Product;
use schemas::user::UserKey;
use serde_json::value::RawValue;

use super::body::{Encoding, Form, MAX_BODY_BYTES, decompress};
use super::events::encode;
use super::items::{Items, MAX_ITEMS};
use crate::admission::{self, Admitted, Circumstances, MAX_ITEM_BYTES};

/// 2026-11-01T00:00:00Z.
const NOW: i64 = 1_793_491_200_000;

/// Reads bytes as a body is read. The last byte says how it is encoded, what it lists its items as, and whether it is an
/// import. Gives how many events and products were admitted.
///
/// # Panics
/// When what was admitted breaks a rule.
pub fn body(input: &[u8]) -> usize {
    let Some((&how, sent)) = input.split_last() else { return 0 };
    let encoding = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd][usize::from(how % 3)];
    let Ok(body) = decompress(encoding, sent) else { return 0 };
    assert!(body.len() <= MAX_BODY_BYTES);
    let given = Circumstances { received_at_ms: NOW, sent_at_ms: None, import: how & 0x80 != 0 };
    match how / 3 % 3 {
        0 => std::str::from_utf8(&body).map_or(0, |item| admit(item, &given)),
        1 => batch(Form::Json, &body, given),
        _ => batch(Form::Lines, &body, given),
    }
}

fn batch(form: Form, body: &[u8], given: Circumstances) -> usize {
    let Ok(items) = Items::read(form, body) else { return 0 };
    assert!(items.items.len() <= MAX_ITEMS);
    let Ok(sent_at_ms) = admission::batch_sent_at(items.sent_at) else { return 0 };
    let given = Circumstances { sent_at_ms, ..given };
    items.items.into_iter().flatten().map(|item| admit(item, &given)).sum()
}

fn admit(item: &str, given: &Circumstances) -> usize {
    let mut admitted = 0;
    if let Ok(event) = admission::admit_event(item, given) {
        check_event(event);
        admitted += 1;
    }
    for in_path in [None, Some("kettle")] {
        if let Ok(product) = admission::admit_product(item, in_path, given.received_at_ms) {
            check_product(&product);
            admitted += 1;
        }
    }
    admitted
}

fn check_event(Admitted { user, event, .. }: Admitted) {
    assert_eq!(UserKey::parse(user.as_str().as_bytes()).as_ref(), Some(&user), "the key names a user");
    check_id(&event.product_id);
    assert!((0..=MAX_TIME_MS).contains(&event.timestamp_ms), "{}", event.timestamp_ms);
    assert!(event.timestamp_ms <= NOW + MAX_AHEAD_MS, "{}", event.timestamp_ms);
    check_amount(event.price, &event.currency);
    check_object(&event.metadata);
    let optional = [&event.category_id, &event.session_id, &event.order_id, &event.recommendation_id];
    optional.into_iter().filter(|id| !id.is_empty()).for_each(|id| check_id(id));
    let (value, id) = encode(event);
    check_id(&id);
    // Kafka takes a megabyte by default.
    assert!(value.len() <= MAX_ITEM_BYTES + 1_024, "{} bytes", value.len());
}

fn check_product(product: &Product) {
    check_id(&product.product_id);
    product.category_path.iter().for_each(|id| check_id(id));
    check_amount(product.price, &product.currency);
    check_object(&product.attributes);
    assert!(!product.name.chars().any(char::is_control));
    let url = product.image_url.to_ascii_lowercase();
    assert!(
        url.is_empty() || url.starts_with("https://") || url.starts_with("http://") || url.starts_with('/')
    );
}

fn check_id(id: &str) {
    assert!(!id.is_empty() && id.len() <= MAX_ID_BYTES && !id.chars().any(char::is_control), "{id:?}");
}

fn check_amount(price: f64, currency: &str) {
    assert!(price.is_finite() && price.is_sign_positive(), "{price}");
    assert!(currency.is_empty() || (currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase())));
}

fn check_object(json: &str) {
    let is_json = json.is_empty() || serde_json::from_str::<&RawValue>(json).is_ok();
    assert!(is_json && json.len() <= MAX_ITEM_BYTES, "{json}");
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    const EVENT: &str = r#"{"event_id":"e","event_type":"purchase","user_id":"ada","product_id":7,"quantity":2,
        "price":29.5,"currency":"EUR","order_id":"o","timestamp":"2026-10-31T12:00:00Z","metadata":{"a":[1,{"b":"\u00e9"}]}}"#;
    const PRODUCT: &str = r#"{"product_id":"kettle","name":"Kettle","category_path":["home","kitchen"],"price":1e2,
        "currency":"eur","image_url":"https://shop.example/k.png","active":true,"attributes":{"colour":"red"}}"#;

    /// Bodies of every form and encoding, with the byte that says so.
    fn bodies() -> Vec<Vec<u8>> {
        let lines = [EVENT, PRODUCT].map(|item| item.replace('\n', " ")).join("\n");
        let forms =
            [EVENT.to_owned(), format!(r#"{{"sent_at":1793491200000,"events":[{EVENT},{PRODUCT}]}}"#), lines];
        let mut bodies = Vec::new();
        for (form, body) in forms.iter().enumerate() {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(body.as_bytes()).unwrap();
            let encoded = [
                body.clone().into_bytes(),
                gzip.finish().unwrap(),
                zstd::encode_all(body.as_bytes(), 1).unwrap(),
            ];
            for (encoding, mut body) in encoded.into_iter().enumerate() {
                body.push((3 * form + encoding) as u8);
                bodies.push(body);
            }
        }
        bodies
    }

    /// JSON that is likely to mean something here.
    fn json() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "null",
            "true",
            "-0",
            "1e999",
            "1793491200000",
            "99999999999999999999",
            "\\u0000",
            "\"event_type\":\"view\"",
            "\"user_id\":\"ada\"",
            "\"product_id\":\"p\"",
            "\"product_id\":\"kettle\"",
            "\"price\":-0.0",
            "\"timestamp\":1e13",
            "\"sent_at\":0",
            "\"events\":[",
            "\"metadata\":{\"a\":[[",
            "\"quantity\":2.0",
            "\n",
            "é",
            "\u{7}",
        ]);
        prop::collection::vec(word, 0..30).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn damaged_bodies_are_refused_or_keep_every_rule(
            which in 0usize..9,
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        ) {
            let mut bytes = bodies()[which].clone();
            for (place, byte) in damages {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            body(&bytes);
        }

        #[test]
        fn any_json_is_refused_or_keeps_every_rule(json in json(), how in prop::sample::select(vec![0u8, 3, 6, 128])) {
            body(&[json.as_bytes(), &[how]].concat());
        }
    }

    #[test]
    fn sound_bodies_are_admitted() {
        // An event alone; an event and a product, which is one whether its id stands in the address or not.
        let admitted: Vec<_> = bodies().iter().map(|bytes| body(bytes)).collect();
        assert_eq!(admitted[..3], [1 + 1; 3]);
        assert_eq!(admitted[3..], [1 + 1 + 2; 6]);
    }
}
