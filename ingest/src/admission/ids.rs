//! Ids: of users, products, events, sessions and so on.

use std::borrow::Cow;

use schemas::event::MAX_ID_BYTES;
use schemas::user::{User, UserKey};

use super::fields::Field;
use super::{Code, Rejection};

/// What programs write when they have no value. As an event id it would make all but a user's first event a duplicate;
/// as a product id it would top every list.
const NO_VALUE: [&str; 6] = ["null", "nil", "none", "undefined", "nan", "[object object]"];

/// What programs write, beside [`NO_VALUE`], when nobody is signed in. It would merge strangers into one history.
/// `0` is not among them: it is the first user of many a database.
const NOBODY: [&str; 20] = [
    "guest",
    "anonymous",
    "anon",
    "unknown",
    "visitor",
    "nobody",
    "user",
    "id",
    "user_id",
    "userid",
    "anonymous_id",
    "distinct_id",
    "email",
    "true",
    "false",
    "(null)",
    "(not set)",
    "not set",
    "n/a",
    "not_authenticated",
];

/// An id that may be left out: absent, `null` and blank text are all "none".
pub(super) fn optional(field: Field<'_>, code: Code, name: &'static str) -> Result<String, Rejection> {
    if matches!(&field, Field::Text(text) if text.trim().is_empty()) {
        return Ok(String::new());
    }
    Ok(parse(field, code, name)?.unwrap_or_default().into_owned())
}

/// The idempotency key, or an empty text where the caller gave none.
pub(super) fn event_id(field: Field<'_>) -> Result<String, Rejection> {
    let id = parse(field, Code::InvalidEventId, "event_id")?;
    id.map_or(Ok(String::new()), |id| refuse_no_value(id.into_owned(), Code::InvalidEventId, "event_id"))
}

/// The product id, which must be there.
pub(super) fn product_id(field: Field<'_>) -> Result<String, Rejection> {
    let id = parse(field, Code::InvalidProductId, "product_id")?
        .ok_or_else(|| Rejection::new(Code::MissingProductId, "`product_id` is missing"))?;
    refuse_no_value(id.into_owned(), Code::InvalidProductId, "product_id")
}

/// Who it was. With both ids the user is the known one.
pub(super) fn user(user_id: Field<'_>, anonymous_id: Field<'_>) -> Result<UserKey, Rejection> {
    let known = parse(user_id, Code::InvalidUserId, "user_id")?;
    let anonymous = parse(anonymous_id, Code::InvalidAnonymousId, "anonymous_id")?;
    match (&known, &anonymous) {
        (Some(id), _) => somebody(id, "user_id").map(|id| UserKey::of(User::Known(id))),
        (None, Some(id)) => somebody(id, "anonymous_id").map(|id| UserKey::of(User::Anonymous(id))),
        (None, None) => Err(Rejection::new(Code::MissingUser, "give `user_id` or `anonymous_id`")),
    }
}

/// An id that stood in the request's path.
pub(crate) fn path_id(id: String, code: Code, name: &'static str) -> Result<String, Rejection> {
    check(&id, code, name)?;
    refuse_no_value(id, code, name)
}

/// A text or integer as an id; `None` where there is nothing. Blank text passes, except too long or with controls.
fn parse<'a>(field: Field<'a>, code: Code, name: &'static str) -> Result<Option<Cow<'a, str>>, Rejection> {
    match field {
        Field::Absent => Ok(None),
        Field::Integer(number) => Ok(Some(number.to_string().into())),
        Field::Text(text) => check(&text, code, name).map(|()| Some(text)),
        other => {
            let detail = format!("`{name}` is {}, expected a text or an integer", other.kind());
            Err(Rejection::new(code, detail))
        }
    }
}

fn check(text: &str, code: Code, name: &'static str) -> Result<(), Rejection> {
    if text.len() > MAX_ID_BYTES {
        let detail = format!("`{name}` has {} bytes, at most {MAX_ID_BYTES} are allowed", text.len());
        return Err(Rejection::new(code, detail));
    }
    // Nearly all ids are plain ASCII, which is seen many bytes at once.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte));
    if !is_plain && text.chars().any(char::is_control) {
        return Err(Rejection::new(code, format!("`{name}` holds a control character")));
    }
    Ok(())
}

fn refuse_no_value(id: String, code: Code, name: &'static str) -> Result<String, Rejection> {
    match no_value(&id) {
        true => Err(Rejection::new(code, format!("`{name}` is {id:?}, which stands for no value"))),
        false => Ok(id),
    }
}

fn no_value(id: &str) -> bool {
    let id = id.trim();
    id.is_empty() || NO_VALUE.iter().any(|junk| id.eq_ignore_ascii_case(junk))
}

fn somebody<'a>(id: &'a str, name: &'static str) -> Result<&'a str, Rejection> {
    let trimmed = id.trim();
    if no_value(trimmed) || NOBODY.iter().any(|junk| trimmed.eq_ignore_ascii_case(junk)) {
        let instead = match name {
            "user_id" => "use `anonymous_id` for visitors",
            _ => "give each visitor an id of its own",
        };
        let detail = format!("`{name}` is {id:?}, which stands for nobody; {instead}");
        return Err(Rejection::new(Code::JunkUserId, detail));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &str) -> Field<'_> {
        Field::Text(id.into())
    }

    #[test]
    fn ids_that_stand_for_nobody_are_refused_however_they_are_written() {
        let junk = [
            "",
            " ",
            "null",
            "NULL",
            " undefined ",
            "NaN",
            "guest",
            "Guest",
            "[object Object]",
            "None",
            "n/a",
        ];
        for id in junk {
            let refused = user(text(id), Field::Absent).unwrap_err();
            assert_eq!(refused.code, Code::JunkUserId, "{id:?}");
            assert_eq!(user(Field::Absent, text(id)).unwrap_err().code, Code::JunkUserId, "{id:?}");
        }
    }

    #[test]
    fn who_sends_an_id_that_stands_for_nobody_is_told_what_to_send_instead() {
        let known = user(text(""), Field::Absent).unwrap_err();
        assert!(known.detail.ends_with("use `anonymous_id` for visitors"), "{known:?}");
        let anonymous = user(Field::Absent, text("")).unwrap_err();
        assert!(anonymous.detail.starts_with("`anonymous_id` is"), "{anonymous:?}");
        assert!(anonymous.detail.ends_with("give each visitor an id of its own"), "{anonymous:?}");
    }

    #[test]
    fn zero_and_names_that_only_look_like_junk_are_users() {
        for id in ["0", "guest-7", "nullius", "O'Null", "ümlaut"] {
            assert_eq!(user(text(id), Field::Absent).unwrap().as_str(), id);
        }
        assert_eq!(user(Field::Integer(0), Field::Absent).unwrap().as_str(), "0");
    }

    #[test]
    fn the_known_id_names_the_user_where_both_are_given() {
        assert_eq!(user(text("7"), text("b")).unwrap().user(), User::Known("7"));
        assert_eq!(user(Field::Absent, text("b")).unwrap().user(), User::Anonymous("b"));
        assert_eq!(user(Field::Absent, Field::Absent).unwrap_err().code, Code::MissingUser);
    }

    #[test]
    fn an_id_has_at_most_256_bytes_and_no_control_characters() {
        assert!(product_id(text(&"é".repeat(128))).is_ok());
        for bad in ["é".repeat(129), "a\u{0}".to_owned(), "a\u{85}".to_owned()] {
            assert_eq!(product_id(text(&bad)).unwrap_err().code, Code::InvalidProductId, "{bad:?}");
        }
        for bad in [Field::Fraction(1.5), Field::Boolean(true), Field::Compound] {
            assert_eq!(product_id(bad).unwrap_err().code, Code::InvalidProductId);
        }
    }

    #[test]
    fn an_event_id_that_stands_for_no_value_is_refused_instead_of_swallowing_events() {
        for junk in ["", "undefined", "null"] {
            assert_eq!(event_id(text(junk)).unwrap_err().code, Code::InvalidEventId);
        }
        assert_eq!(event_id(Field::Absent).unwrap(), "");
        assert_eq!(optional(text(""), Code::InvalidSessionId, "session_id").unwrap(), "");
    }
}
