use crate::outcome::DeadReason;
use event_log::Record;
use schemas::user::UserKey;
use schemas::{EventKind, UnpackedEvent, UnpackedEventRecord};
use smol_str::SmolStr;

/// A record of `events`, decoded.
pub(crate) struct ShopperRecord {
    pub(crate) raw: Record,
    pub(crate) parsed: Result<Parsed, DeadReason>,
}

pub(crate) enum Parsed {
    Event { user: User, kind: EventKind, event: UnpackedEvent },
    Forget { user: User },
}

/// A user's key. Most lie in here: what looks at one often need not go elsewhere, nor check again that it is text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct User(SmolStr);

impl User {
    fn of(raw: &Record) -> Option<Self> {
        UserKey::text_of(&raw.key).map(|key| Self(SmolStr::new(key)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
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
            if event.is_complete() {
                Ok(Parsed::Event { user, kind, event })
            } else {
                Err(DeadReason::Incomplete)
            }
        }
    }
}
