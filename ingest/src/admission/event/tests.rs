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
    for json in ["[]", r#"["e","view","u"]"#, "7", "null", r#"{"price":1,"price":2}"#] {
        assert_eq!(admit(json).unwrap_err().code, Code::NotAnObject, "{json}");
    }
    for json in ["", "{", "{]", "[1", "nope", r#"{"user_id":"\ud800"}"#, r#"{} {}"#] {
        assert_eq!(admit(json).unwrap_err().code, Code::MalformedJson, "{json}");
    }
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
