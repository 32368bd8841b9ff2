//! User keys: one name for a shopper, known or anonymous, that is the log's record key and the stores' row key.

use std::fmt;

/// Who did something: a signed-in user or a browser. The two name spaces never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User<'a> {
    /// `user_id`.
    Known(&'a str),
    /// `anonymous_id`.
    Anonymous(&'a str),
}

const ANONYMOUS: &str = "~a:";
const ESCAPED: &str = "~u:";

/// The record key and row key of a user: the plain id for known users, so that any Kafka producer can key by user;
/// `~a:` and the id for anonymous ones; `~u:` and the id for a known user whose id starts with `~`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey(String);

impl UserKey {
    /// The key of a user.
    pub fn of(user: User<'_>) -> Self {
        Self(match user {
            User::Known(id) if id.starts_with('~') => format!("{ESCAPED}{id}"),
            User::Known(id) => id.to_owned(),
            User::Anonymous(id) => format!("{ANONYMOUS}{id}"),
        })
    }

    /// A record's key as a user key; `None` unless it is one.
    pub fn parse(key: &[u8]) -> Option<Self> {
        Self::text_of(key).map(|text| Self(text.to_owned()))
    }

    /// A record's key as text, where it is a user key: 1 to 260 bytes of UTF-8 in the form that `of` gives.
    pub fn text_of(key: &[u8]) -> Option<&str> {
        let text = std::str::from_utf8(key).ok()?;
        let id = match text {
            _ if text.starts_with(ANONYMOUS) => &text[ANONYMOUS.len()..],
            // Only where it is needed: one user must not have two keys.
            _ if text.starts_with(ESCAPED) => {
                Some(&text[ESCAPED.len()..]).filter(|id| id.starts_with('~'))?
            }
            _ if text.starts_with('~') => return None,
            _ => text,
        };
        (!id.is_empty() && id.len() <= crate::event::MAX_ID_BYTES).then_some(text)
    }

    /// The user it names.
    pub fn user(&self) -> User<'_> {
        if let Some(id) = self.0.strip_prefix(ANONYMOUS) {
            User::Anonymous(id)
        } else {
            User::Known(self.0.strip_prefix(ESCAPED).unwrap_or(&self.0))
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a record has it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_users_share_a_key() {
        let users = [
            User::Known("7"),
            User::Anonymous("7"),
            User::Known("~a:7"),
            User::Known("~u:7"),
            User::Anonymous("~u:7"),
            User::Known("~"),
        ];
        let keys: Vec<_> = users.iter().map(|&user| UserKey::of(user)).collect();
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(key.user(), users[i]);
            assert_eq!(UserKey::parse(key.as_str().as_bytes()).as_ref(), Some(key));
            assert_eq!(keys.iter().filter(|other| *other == key).count(), 1, "{key}");
        }
    }

    #[test]
    fn a_key_that_names_nobody_is_refused() {
        let long = "x".repeat(257);
        for key in [&b""[..], b"~", b"~a:", b"~u:", b"~u:ada", b"~x:1", b"\xff", long.as_bytes()] {
            assert_eq!(UserKey::parse(key), None);
        }
    }
}
