use super::*;

const NOW: i64 = 1_800_000_000_000;

fn admit(json: &str) -> Result<Admitted, Rejection> {
    admit_event(json, &Circumstances { received_at_ms: NOW, sent_at_ms: None, import: false })
}

fn view(field: &str) -> Result<Admitted, Code> {
    admit(&format!(r#"{{"event_type":"view","user_id":"u","product_id":"p",{field}}}"#)).map_err(|r| r.code)
}

#[test]
fn every_field_reaches_the_record() {
    let admitted = admit(
        r#"{"event_id":"e","event_type":"purchase","user_id":42,"session_id":"s","product_id":7,"quantity":2,
            "price":12.5,"currency":"eur","order_id":99,"category_id":"c","recommendation_id":"r",
            "timestamp":1799999999000,"metadata":{"a": [1]},"unknown":{"deep":[[]]}}"#,
    )
    .unwrap();
    let expected = Event {
        event_id: "e".into(),
        event_type: EventType::Purchase.into(),
        product_id: "7".into(),
        timestamp_ms: NOW - 1000,
        received_at_ms: NOW,
        category_id: "c".into(),
        session_id: "s".into(),
        quantity: 2,
        price: 12.5,
        currency: "EUR".into(),
        order_id: "99".into(),
        recommendation_id: "r".into(),
        metadata: r#"{"a": [1]}"#.into(),
    };
    assert_eq!(admitted, Admitted { user: UserKey::parse(b"42").unwrap(), event: expected, clamped: false });
}

#[test]
fn a_rejection_names_the_event_it_is_about() {
    let rejection =
        admit(r#"{"event_id":"e-1","event_type":"hover","user_id":"u","product_id":"p"}"#).unwrap_err();
    assert_eq!((rejection.code, rejection.id.as_deref()), (Code::UnknownEventType, Some("e-1")));
}

#[test]
fn numbers_are_taken_as_far_as_they_make_sense() {
    assert_eq!(view(r#""quantity":2.0"#).unwrap().event.quantity, 2);
    assert_eq!(view(r#""price":-0.0"#).unwrap().event.price.to_bits(), 0);
    for bad in ["0", "-1", "1.5", "4294967296", r#""2""#, "true", "[1]"] {
        assert_eq!(view(&format!(r#""quantity":{bad}"#)), Err(Code::InvalidQuantity), "{bad}");
    }
    for bad in ["-0.01", r#""9.99""#, "{}"] {
        assert_eq!(view(&format!(r#""price":{bad}"#)), Err(Code::InvalidPrice), "{bad}");
    }
    for bad in [r#""EURO""#, r#""€""#, "978"] {
        assert_eq!(view(&format!(r#""currency":{bad}"#)), Err(Code::InvalidCurrency), "{bad}");
    }
}

#[test]
fn null_is_the_same_as_absent() {
    let fields =
        ["event_id", "quantity", "price", "currency", "timestamp", "metadata", "anonymous_id", "session_id"];
    for field in fields {
        assert!(view(&format!(r#""{field}":null"#)).is_ok(), "{field}");
    }
}

#[test]
fn what_is_not_an_object_is_told_from_what_is_not_json() {
    for json in ["[]", r#"["e","view","u"]"#, "7", "null"] {
        assert_eq!(admit(json).unwrap_err().code, Code::NotAnObject, "{json}");
    }
    for json in ["", "{", "{]", "[1", "nope", r#"{"user_id":"\ud800"}"#, r#"{} {}"#] {
        assert_eq!(admit(json).unwrap_err().code, Code::MalformedJson, "{json}");
    }
}

#[test]
fn a_field_that_stands_twice_is_named() {
    let refused = admit(r#"{"price":1,"price":2}"#).unwrap_err();
    assert_eq!(refused.code, Code::DuplicateField);
    assert!(refused.detail.contains("`price`"), "{refused:?}");
}

#[test]
fn an_id_of_more_than_64_bits_is_not_called_a_fraction() {
    let json = r#"{"event_type":"view","user_id":1180591620717411303424,"product_id":"p"}"#;
    let refused = admit(json).unwrap_err();
    assert_eq!(refused.code, Code::InvalidUserId);
    assert_eq!(refused.detail, "`user_id` is a number of more than 64 bits, expected a text or an integer");
}

#[test]
fn metadata_is_an_object_of_at_most_eight_levels() {
    let nested = |levels: usize| {
        format!(r#""metadata":{}{}"#, r#"{"a":"#.repeat(levels - 1) + "{}", "}".repeat(levels - 1))
    };
    assert!(view(&nested(8)).is_ok());
    assert_eq!(view(&nested(9)), Err(Code::InvalidMetadata));
    assert_eq!(view(r#""metadata":[1]"#), Err(Code::InvalidMetadata));
    assert_eq!(view(r#""metadata":"text""#), Err(Code::InvalidMetadata));
}

#[test]
fn an_event_has_at_most_64_kib() {
    let sized = |bytes: usize| {
        let frame = r#"{"event_type":"view","user_id":"u","product_id":"p","x":""}"#;
        frame.replace(r#""x":"""#, &format!(r#""x":"{}""#, "x".repeat(bytes - frame.len())))
    };
    assert!(admit(&sized(64 * 1024)).is_ok());
    assert_eq!(admit(&sized(64 * 1024 + 1)).unwrap_err().code, Code::TooLarge);
}

mod whatever_comes {
    use super::*;
    use proptest::prelude::*;
    use schemas::event::{MAX_AHEAD_MS, MAX_ID_BYTES, MAX_LATE_MS};
    use serde_json::{Value, json};

    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![any::<i64>(), 0..10i64, NOW - MAX_LATE_MS * 2..NOW + MAX_AHEAD_MS * 2];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number.prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            any::<String>().prop_map(Value::from),
            "[a-z]{1,300}".prop_map(Value::from),
            prop::sample::select(vec!["view", "purchase", "EUR", "2027-01-15T08:00:00Z", "guest"])
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(10, 64, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z]{1,3}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    fn event() -> impl Strategy<Value = Value> {
        let fields = [
            "event_id",
            "user_id",
            "anonymous_id",
            "session_id",
            "quantity",
            "price",
            "currency",
            "order_id",
            "category_id",
            "recommendation_id",
            "timestamp",
            "sent_at",
            "metadata",
        ];
        let given = prop::collection::hash_map(prop::sample::select(fields.to_vec()), value(), 0..3);
        given.prop_map(|given| {
            let mut event = json!({ "event_type": "view", "user_id": "u", "product_id": 7 });
            given.into_iter().for_each(|(field, value)| event[field] = value);
            event
        })
    }

    proptest! {
        #[test]
        fn text_that_is_no_event_is_refused_without_a_panic(text in any::<String>()) {
            prop_assert!(admit(&text).is_err());
        }

        #[test]
        fn what_is_admitted_keeps_every_limit(event in event(), import in any::<bool>()) {
            let given = Circumstances { received_at_ms: NOW, sent_at_ms: None, import };
            let Ok(admitted) = admit_event(&event.to_string(), &given) else { return Ok(()) };
            let event = admitted.event;
            prop_assert!(UserKey::parse(admitted.user.as_str().as_bytes()) == Some(admitted.user));
            let ids = [&event.event_id, &event.session_id, &event.product_id, &event.category_id, &event.order_id];
            prop_assert!(ids.iter().all(|id| id.len() <= MAX_ID_BYTES && !id.contains(char::is_control)));
            prop_assert!(event.price.is_finite() && event.price >= 0.0);
            prop_assert!(event.timestamp_ms >= 0 && event.timestamp_ms <= NOW + MAX_AHEAD_MS);
            prop_assert!(import || event.timestamp_ms >= NOW - MAX_LATE_MS);
            let object = event.metadata.starts_with('{');
            prop_assert!(event.metadata.is_empty() || object);
        }
    }
}
