//! What is kept of a shopper, and what an event of theirs means for products.

use crate::co_occurrence::{BACKWARD, FORWARD, MAX_DISTANCE, after_gap};
use crate::interner::{Interner, Symbol};
use crate::settings::RETURN_PAIRS_DIVIDED_BY;
use schemas::codec::{put_signed, put_str, put_varint};
use schemas::published::{HistoryEntry, LastStep, SessionShape, UserHistory, header, open};
use schemas::{DecodeError, EventKind, Version};
use std::collections::VecDeque;

/// Events kept of a user.
pub const HISTORY_EVENTS: usize = 50;
/// Event ids remembered of a user: more than a producer resends (one batch).
pub const FINGERPRINTS: usize = 1024;
/// A pause this long between two events ends a session, in ms.
pub const SESSION_GAP_MS: i64 = 30 * 60 * 1000;
/// A user unheard of for this long (by append time) starts anew, in ms.
pub const IDLE_MS: i64 = 90 * 24 * 3600 * 1000;
/// Events of one kind by one user on one product within [`CAP_SPAN_MS`] that count for trending and co-occurrence.
pub const CAP_EVENTS: usize = 10;
/// See [`CAP_EVENTS`].
pub const CAP_SPAN_MS: i64 = 3600 * 1000;

/// One event as the user row sees it.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// The product.
    pub product: Symbol,
    /// What was done.
    pub kind: EventKind,
    /// When it happened.
    pub timestamp_ms: i64,
    /// When the log took it.
    pub append_time_ms: i64,
    /// Of its event id; see [`fingerprint`].
    pub fingerprint: u64,
}

/// A pair that an event makes with an earlier product of its session; weights in units of 2^-24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The earlier product.
    pub earlier: Symbol,
    /// For the earlier product's row.
    pub forward: u32,
    /// For the event's own product's row.
    pub backward: u32,
}

/// What an applied event means for products.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// What the event counts in the windows; 0 once the user's cap is reached.
    pub weight: u32,
    /// Pairs with distinct earlier products of the session, the latest first; empty once the cap is reached.
    pub pairs: Vec<Pair>,
    /// What the session looked like before the event; `None` when the event begins one, or once the cap is reached.
    pub session: Option<SessionShape>,
    /// How many distinct products ago the product was last seen in the session; `None` = new to it.
    pub repeat_distance: Option<u32>,
}

/// The effects of one event after the other, in the same memory.
#[derive(Debug, Default)]
pub struct Applied {
    effects: Effects,
    products: Vec<Symbol>,
    /// For the shape of a session, while there is none in the effects.
    times: Vec<u8>,
}

impl Applied {
    /// Those of the last event.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    product: Symbol,
    kind: EventKind,
    timestamp_ms: i64,
}

/// A user's row. A pure function of the user's records up to `version`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserRow {
    /// The last record of `events` that changed it.
    pub version: Version,
    last_append_ms: i64,
    /// The oldest first, in order of arrival.
    history: VecDeque<Seen>,
    /// The oldest first.
    fingerprints: VecDeque<u64>,
}

/// A 64-bit fingerprint of an event id (FNV-1a with a final mix): two ids of one user share one by a chance of about 2^-54.
pub fn fingerprint(event_id: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for &byte in event_id.as_bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

impl UserRow {
    /// Whether an event of this id was applied before, so that this one is a duplicate.
    pub fn knows(&self, event: &Observation) -> bool {
        let (front, back) = self.fingerprints.as_slices();
        !self.is_idle_at(event) && (front.contains(&event.fingerprint) || back.contains(&event.fingerprint))
    }

    /// Sets the append time of the last event to 0, for comparing rows of two runs.
    pub fn forget_append_time(&mut self) {
        self.last_append_ms = 0;
    }

    fn is_idle_at(&self, event: &Observation) -> bool {
        event.append_time_ms.saturating_sub(self.last_append_ms) > IDLE_MS
    }

    /// Applies an event that the row does not know yet (see [`Self::knows`]). The caller sets `version`.
    pub fn apply(&mut self, event: &Observation) -> Effects {
        let mut applied = Applied::default();
        self.apply_into(event, &mut applied);
        applied.effects
    }

    /// As [`Self::apply`], for one event after the other.
    pub fn apply_into(&mut self, event: &Observation, applied: &mut Applied) {
        if self.is_idle_at(event) {
            self.history.clear();
            self.fingerprints.clear();
        }
        if self.fingerprints.len() == FINGERPRINTS {
            self.fingerprints.pop_front();
        }
        self.fingerprints.push_back(event.fingerprint);
        self.last_append_ms = event.append_time_ms;

        self.effects_of(event, applied);
        if self.history.len() == HISTORY_EVENTS {
            self.history.pop_front();
        }
        self.history.push_back(Seen {
            product: event.product,
            kind: event.kind,
            timestamp_ms: event.timestamp_ms,
        });
    }

    /// Forgets the user: nothing is left but the version, which the caller sets.
    pub fn forget(&mut self) {
        *self = Self { version: self.version, ..Self::default() };
    }

    fn effects_of(&self, event: &Observation, applied: &mut Applied) {
        let Applied { effects, products, times } = applied;
        if let Some(before) = effects.session.take() {
            *times = before.times;
        }
        let Effects { weight, pairs, session, repeat_distance } = effects;
        (*weight, *repeat_distance) = (0, None);
        pairs.clear();
        products.clear();
        if self.is_capped(event) {
            return;
        }
        times.clear();
        let mut shape = SessionShape { times: std::mem::take(times), ..SessionShape::default() };
        let mut later_ms = event.timestamp_ms;
        for (steps, earlier) in self.history.iter().rev().take(MAX_DISTANCE).enumerate() {
            if later_ms.saturating_sub(earlier.timestamp_ms).abs() > SESSION_GAP_MS {
                break;
            }
            later_ms = earlier.timestamp_ms;
            let known = products.iter().position(|product| *product == earlier.product);
            shape.course = shape.course.after(known.unwrap_or(products.len()));
            match known {
                Some(place) => shape.times[place] = shape.times[place].saturating_add(1),
                None => {
                    products.push(earlier.product);
                    shape.times.push(1);
                }
            }
            shape.last_step = match (steps, shape.last_step) {
                (0, _) => LastStep::First,
                (1, _) if earlier.product == products[0] => LastStep::Same,
                (_, LastStep::Same) => LastStep::Same,
                _ if earlier.product == products[0] => LastStep::Return,
                (_, LastStep::First) => LastStep::New,
                (_, step) => step,
            };
            if earlier.product != event.product {
                let gap_ms = event.timestamp_ms.abs_diff(earlier.timestamp_ms);
                let (forward, backward) =
                    (after_gap(FORWARD[steps], gap_ms), after_gap(BACKWARD[steps], gap_ms));
                match pairs.iter_mut().find(|pair| pair.earlier == earlier.product) {
                    Some(pair) => {
                        pair.forward += forward;
                        pair.backward += backward;
                    }
                    None => pairs.push(Pair { earlier: earlier.product, forward, backward }),
                }
            }
        }
        *weight = event.kind.weight();
        let distance = products.iter().position(|product| *product == event.product);
        if distance.is_some() {
            for pair in pairs {
                pair.forward /= RETURN_PAIRS_DIVIDED_BY;
                pair.backward /= RETURN_PAIRS_DIVIDED_BY;
            }
        }
        *repeat_distance = distance.map(|distance| distance as u32);
        if products.is_empty() {
            *times = shape.times;
        } else {
            *session = Some(shape);
        }
    }

    fn is_capped(&self, event: &Observation) -> bool {
        let same = self.history.iter().filter(|seen| {
            seen.product == event.product
                && seen.kind == event.kind
                && event.timestamp_ms.saturating_sub(seen.timestamp_ms).abs() <= CAP_SPAN_MS
        });
        same.take(CAP_EVENTS).count() == CAP_EVENTS
    }

    /// The history as serving reads it, packed. It reflects all records up to `version`, or up to the row's own where that is later.
    pub fn encode_history(&self, version: Version, names: &Interner) -> Vec<u8> {
        let entry = |seen: &Seen| (names.name(seen.product), seen.kind, seen.timestamp_ms);
        UserHistory::encode_entries(version.max(self.version), self.history.iter().rev().map(entry))
    }

    /// Whether nothing is known of the user (new, or forgotten).
    pub fn is_empty(&self) -> bool {
        self.history.is_empty() && self.fingerprints.is_empty()
    }

    /// Packs the row.
    pub fn encode(&self, names: &Interner) -> Vec<u8> {
        let mut out = header(self.version, 16 + self.history.len() * 14 + self.fingerprints.len() * 8);
        put_signed(&mut out, self.last_append_ms);
        put_varint(&mut out, self.history.len() as u64);
        let mut before = 0;
        for seen in &self.history {
            put_str(&mut out, names.name(seen.product));
            out.push(seen.kind as u8);
            put_signed(&mut out, seen.timestamp_ms.wrapping_sub(before));
            before = seen.timestamp_ms;
        }
        put_varint(&mut out, self.fingerprints.len() as u64);
        for fingerprint in &self.fingerprints {
            out.extend_from_slice(&fingerprint.to_be_bytes());
        }
        out
    }

    /// Unpacks a row.
    ///
    /// # Errors
    /// When the bytes do not follow the format.
    pub fn decode(bytes: &[u8], names: &Interner) -> Result<Self, DecodeError> {
        let mut row = Self::default();
        let (last_append_ms, fingerprints) =
            decode_parts(bytes, &mut row.version, |id, kind, timestamp_ms| {
                row.history.push_back(Seen { product: names.intern(id), kind, timestamp_ms });
            })?;
        row.last_append_ms = last_append_ms;
        row.fingerprints = fingerprints;
        Ok(row)
    }
}

/// The history in a packed user row, for readers of the state store that need nothing else of it.
///
/// # Errors
/// When the bytes do not follow the format.
pub fn decode_history(bytes: &[u8]) -> Result<UserHistory, DecodeError> {
    let mut history = UserHistory::default();
    decode_parts(bytes, &mut history.version, |id, kind, timestamp_ms| {
        history.entries.push(HistoryEntry { product_id: id.to_owned(), kind, timestamp_ms });
    })?;
    history.entries.reverse();
    Ok(history)
}

fn decode_parts(
    bytes: &[u8],
    version: &mut Version,
    mut entry: impl FnMut(&str, EventKind, i64),
) -> Result<(i64, VecDeque<u64>), DecodeError> {
    let (found, mut reader) = open(bytes)?;
    *version = found;
    let last_append_ms = reader.signed()?;
    let mut before = 0i64;
    for _ in 0..reader.count(3)? {
        let id = reader.str()?;
        let kind =
            EventKind::from_code(u32::from(reader.u8()?)).ok_or(DecodeError::Malformed("event kind"))?;
        before = reader.time_from(before)?;
        entry(id, kind, before);
    }
    let fingerprints = (0..reader.count(8)?).map(|_| reader.u64_be()).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok((last_append_ms, fingerprints))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::published::Course;

    const START: i64 = 1_700_000_000_000;

    fn view(product: u32, minute: i64, id: u64) -> Observation {
        let timestamp_ms = START + minute * 60_000;
        Observation {
            product: Symbol(product),
            kind: EventKind::View,
            timestamp_ms,
            append_time_ms: timestamp_ms,
            fingerprint: id,
        }
    }

    #[test]
    fn an_event_id_counts_once() {
        let mut row = UserRow::default();
        assert!(!row.knows(&view(1, 0, 7)));
        row.apply(&view(1, 0, 7));
        assert!(row.knows(&view(2, 1, 7)));
    }

    #[test]
    fn pairs_join_products_of_one_session_only() {
        let mut row = UserRow::default();
        row.apply(&view(1, 0, 1));
        row.apply(&view(2, 60, 2));
        let effects = row.apply(&view(3, 70, 3));
        let gap_ms = 10 * 60_000;
        let (forward, backward) = (after_gap(FORWARD[0], gap_ms), after_gap(BACKWARD[0], gap_ms));
        assert_eq!(effects.pairs, [Pair { earlier: Symbol(2), forward, backward }]);
        let course = Course::default().after(0);
        let shape = SessionShape { times: vec![1], last_step: LastStep::First, course };
        assert_eq!((effects.session, effects.repeat_distance), (Some(shape), None));
    }

    #[test]
    fn a_product_seen_twice_makes_one_pair_of_both_weights() {
        let mut row = UserRow::default();
        for (i, product) in [1, 2, 1].into_iter().enumerate() {
            row.apply(&view(product, i as i64, i as u64));
        }
        let effects = row.apply(&view(3, 3, 9));
        let minutes = |steps: usize, minutes: u64| after_gap(FORWARD[steps], minutes * 60_000);
        assert_eq!(effects.pairs[0].forward, minutes(0, 1) + minutes(2, 3));
        assert_eq!(effects.pairs.len(), 2);
        let again = row.apply(&view(2, 4, 10));
        let course = [0, 1, 2, 1].into_iter().fold(Course::default(), Course::after);
        let shape = SessionShape { times: vec![1, 2, 1], last_step: LastStep::New, course };
        assert_eq!((again.session, again.repeat_distance), (Some(shape), Some(2)));
    }

    #[test]
    fn a_session_remembers_how_its_last_event_came() {
        let last_step = |products: &[u32]| {
            let mut row = UserRow::default();
            for (i, &product) in products.iter().enumerate() {
                row.apply(&view(product, i as i64, i as u64));
            }
            row.apply(&view(99, products.len() as i64, 99)).session.unwrap().last_step
        };
        assert_eq!(last_step(&[1]), LastStep::First);
        assert_eq!(last_step(&[1, 1]), LastStep::Same);
        assert_eq!(last_step(&[2, 1, 2, 2]), LastStep::Same);
        assert_eq!(last_step(&[1, 2, 1]), LastStep::Return);
        assert_eq!(last_step(&[1, 2, 3, 1]), LastStep::Return);
        assert_eq!(last_step(&[1, 1, 2]), LastStep::New);
    }

    #[test]
    fn one_shopper_cannot_make_a_product_trend() {
        let mut row = UserRow::default();
        let weights: u32 = (0..100).map(|i| row.apply(&view(1, i / 10, i as u64)).weight).sum();
        assert_eq!(weights, CAP_EVENTS as u32);
    }

    #[test]
    fn a_user_idle_for_long_starts_anew() {
        let mut row = UserRow::default();
        row.apply(&view(1, 0, 1));
        let late = Observation { append_time_ms: START + IDLE_MS + 1, ..view(2, 1, 1) };
        assert!(!row.knows(&late), "the id is forgotten too");
        let effects = row.apply(&late);
        assert!(effects.pairs.is_empty());
    }

    #[test]
    fn a_row_survives_its_encoding_and_stays_bounded() {
        let names = Interner::default();
        let mut row = UserRow { version: Version::of(1, 5), ..UserRow::default() };
        for i in 0..3000i64 {
            let product = names.intern(&(i % 90).to_string());
            row.apply(&Observation { product, ..view(0, i, i as u64) });
        }
        assert_eq!((row.history.len(), row.fingerprints.len()), (HISTORY_EVENTS, FINGERPRINTS));
        let bytes = row.encode(&names);
        assert_eq!(UserRow::decode(&bytes, &names).unwrap(), row);
        let history = decode_history(&bytes).unwrap();
        assert_eq!(history.encode(), row.encode_history(Version::NONE, &names));
        let later = UserHistory::decode(&row.encode_history(Version::of(1, 9), &names)).unwrap();
        assert_eq!((later.version, later.entries), (Version::of(1, 9), history.entries.clone()));
        assert_eq!(history.entries[0].product_id, (2999 % 90).to_string());
        row.forget();
        assert!(row.is_empty() && row.version == Version::of(1, 5));
    }

    #[test]
    fn effects_do_not_depend_on_those_before_in_the_same_memory() {
        let (mut row, mut applied) = (UserRow::default(), Applied::default());
        let mut random = 1u32;
        for number in 0..400i64 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Sessions begin and go on, products come back, and one is capped.
            let minute = number / 20 + number / 37 * 60;
            let product = if number % 80 < 15 { 1 } else { random >> 28 };
            let event = view(product, minute, number as u64);
            let alone = row.clone().apply(&event);
            row.apply_into(&event, &mut applied);
            assert_eq!(*applied.effects(), alone, "{number}");
        }
    }
}
