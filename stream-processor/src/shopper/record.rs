use crate::outcome::DeadReason;
use bytes::Bytes;
use event_log::Record;
use schemas::event::MAX_ID_BYTES;
use schemas::user::UserKey;
use schemas::{EventKind, UnpackedEvent, UnpackedEventRecord};

/// A record of `events`, decoded.
pub(crate) struct ShopperRecord {
    pub(crate) raw: Record,
    pub(crate) parsed: Result<Parsed, DeadReason>,
}

pub(crate) enum Parsed {
    Event { user: User, kind: EventKind, event: UnpackedEvent },
    Forget { user: User },
}

/// A user's key, in the memory of the record that it is the key of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct User(Bytes);

impl User {
    fn of(raw: &Record) -> Option<Self> {
        UserKey::is_one(&raw.key).then(|| Self(raw.key.clone()))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a user's key is text")
    }
}

impl ShopperRecord {
    pub(crate) fn parse(raw: Record) -> Self {
        let parsed = parse(&raw);
        Self { raw, parsed }
    }

    /// When ingest received the event; where that is not known, when the log took the record.
    pub(crate) fn received_ms(&self) -> i64 {
        match &self.parsed {
            Ok(Parsed::Event { event, .. }) if event.received_at_ms > 0 => event.received_at_ms,
            _ => self.raw.append_time_ms,
        }
    }

    /// The user whose row it touches.
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.parsed {
            Ok(Parsed::Event { user, .. } | Parsed::Forget { user }) => Some(user.as_str()),
            Err(_) => None,
        }
    }
}

/// Any producer may write to the topic, so nothing that ingest would have refused is taken for granted.
fn parse(raw: &Record) -> Result<Parsed, DeadReason> {
    let record = UnpackedEventRecord::unpack(&raw.value).map_err(|_| DeadReason::Undecodable)?;
    let user = User::of(raw).ok_or(DeadReason::BadKey)?;
    match record {
        UnpackedEventRecord::Unknown => Err(DeadReason::Undecodable),
        UnpackedEventRecord::ForgetUser => Ok(Parsed::Forget { user }),
        UnpackedEventRecord::Event(event) => {
            let kind = u32::try_from(event.event_type).ok().and_then(EventKind::from_code);
            let kind = kind.ok_or(DeadReason::Incomplete)?;
            let is_id = |id: &str| !id.is_empty() && id.len() <= MAX_ID_BYTES;
            let is_complete = is_id(event.event_id()) && is_id(event.product_id());
            if !is_complete || event.category_id().len() > MAX_ID_BYTES {
                return Err(DeadReason::Incomplete);
            }
            Ok(Parsed::Event { user, kind, event })
        }
    }
}
