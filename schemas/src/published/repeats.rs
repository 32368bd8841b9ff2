use super::{Course, CourseTable, header, open};
use crate::Version;
use crate::codec::{DecodeError, Reader, put_varint};

/// How the last event of a session followed the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LastStep {
    /// There was none before.
    #[default]
    First = 0,
    /// The same product again.
    Same = 1,
    /// Back to an earlier product of the session.
    Return = 2,
    /// On to a product that was new to the session.
    New = 3,
}

impl LastStep {
    /// Every step, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::First, Self::Same, Self::Return, Self::New];
}

/// What a session looks like, without saying which products it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionShape {
    /// How often each distinct product was seen, the last product first.
    pub times: Vec<u8>,
    /// How the last event followed the one before.
    pub last_step: LastStep,
    /// In which order its last events went to its products.
    pub course: Course,
}

impl SessionShape {
    /// Distinct products.
    pub fn length(&self) -> usize {
        self.times.len()
    }
}

/// How often products of one place in sessions of one shape could have been next, and how often they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepeatCell {
    /// Events that came after such a place.
    pub trials: u64,
    /// Those that returned to the product there.
    pub returns: u64,
}

/// Counts for the learnt chance that a shopper comes back to a product of the session: by the number of distinct products in
/// the session, how many of them ago the product was last seen, how often it was seen, and the session's last step. What is
/// longer, farther or more often than told apart counts as the most that is. Beside them, counts by the order of the
/// session's last events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatTable {
    /// Version of the last record of the partition that the table reflects.
    pub version: Version,
    cells: Vec<RepeatCell>,
    courses: CourseTable,
}

impl Default for RepeatTable {
    fn default() -> Self {
        Self {
            version: Version::NONE,
            cells: vec![RepeatCell::default(); Self::CELLS],
            courses: CourseTable::default(),
        }
    }
}

impl RepeatTable {
    /// Session lengths told apart, and with them distances.
    pub const LENGTHS: usize = 10;
    /// Numbers of times told apart.
    pub const TIMES: usize = 3;
    const STEPS: usize = LastStep::ALL.len();
    const CELLS: usize = Self::LENGTHS * (Self::LENGTHS + 1) / 2 * Self::TIMES * Self::STEPS;

    /// Counts one event that continued a session of this shape: `distance` says how many distinct products ago its product
    /// was last seen, `None` that it was new.
    pub fn observe(&mut self, shape: &SessionShape, distance: Option<u32>) {
        self.observe_parts(&shape.times, shape.last_step, shape.course, distance);
    }

    /// As [`Self::observe`], with the parts of the shape.
    pub fn observe_parts(
        &mut self,
        times: &[u8],
        last_step: LastStep,
        course: Course,
        distance: Option<u32>,
    ) {
        self.courses.observe(course, distance);
        for (place, &seen) in times.iter().enumerate() {
            let index = Self::index(times.len(), place, seen, last_step);
            let cell = &mut self.cells[index];
            cell.trials += 1;
            cell.returns += u64::from(distance == Some(place as u32));
        }
    }

    /// The counts for the product `distance` distinct products ago in a session of `length` (from 1): a row for each number of
    /// times that it was seen ([`Self::row_of`]), in it those of each last step.
    pub fn place(&self, length: usize, distance: usize) -> &[[RepeatCell; Self::STEPS]] {
        let start = Self::index(length, distance, 1, LastStep::First);
        self.cells[start..start + Self::TIMES * Self::STEPS].as_chunks().0
    }

    /// The counts by the order of events.
    pub fn courses(&self) -> &CourseTable {
        &self.courses
    }

    /// Over all shapes: events that continued a session, and how many of them were returns.
    pub fn total(&self) -> RepeatCell {
        let mut total = RepeatCell::default();
        for length in 1..=Self::LENGTHS {
            for distance in 0..length {
                for cell in self.place(length, distance).as_flattened() {
                    // Each such event is a trial of every place, and of the first for certain.
                    let trials = if distance == 0 { cell.trials } else { 0 };
                    total.trials = total.trials.saturating_add(trials);
                    total.returns = total.returns.saturating_add(cell.returns);
                }
            }
        }
        total
    }

    /// The row of [`Self::place`] for what was seen `times` times.
    pub fn row_of(times: u8) -> usize {
        usize::from(times).clamp(1, Self::TIMES) - 1
    }

    fn index(length: usize, distance: usize, times: u8, last_step: LastStep) -> usize {
        let length = length.clamp(1, Self::LENGTHS);
        let place = length * (length - 1) / 2 + distance.min(length - 1);
        (place * Self::TIMES + Self::row_of(times)) * Self::STEPS + last_step as usize
    }

    /// Adds another partition's counts.
    pub fn merge(&mut self, other: &Self) {
        for (cell, more) in self.cells.iter_mut().zip(&other.cells) {
            cell.trials += more.trials;
            cell.returns += more.returns;
        }
        self.courses.merge(&other.courses);
    }

    /// The counts in a fixed order, for packing and comparing.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.cells.iter().flat_map(|cell| [cell.trials, cell.returns]).chain(self.courses.counts())
    }

    /// Reads the counts in their fixed order, which are the last thing in a value.
    ///
    /// # Errors
    /// When there are fewer, or one is too large.
    pub fn read_counts(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut table = Self::default();
        for cell in &mut table.cells {
            *cell = RepeatCell { trials: reader.counted()?, returns: reader.counted()? };
        }
        // Values of releases that did not tell the order of events apart end here.
        if !reader.is_at_end() {
            table.courses = CourseTable::read(reader)?;
        }
        Ok(table)
    }

    /// Packs the value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(self.version, 4 * Self::CELLS);
        self.counts().for_each(|count| put_varint(&mut out, count));
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let table = Self::read_counts(&mut reader)?;
        reader.finish()?;
        Ok(Self { version, ..table })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(times: &[u8]) -> SessionShape {
        SessionShape { times: times.to_vec(), last_step: LastStep::New, course: Course::default().after(0) }
    }

    fn cell(table: &RepeatTable, length: usize, distance: usize, times: u8) -> RepeatCell {
        table.place(length, distance)[RepeatTable::row_of(times)][LastStep::New as usize]
    }

    #[test]
    fn every_place_of_a_session_gets_a_trial_and_one_at_most_a_return() {
        let mut table = RepeatTable::default();
        table.observe(&shape(&[1, 2]), Some(1));
        table.observe(&shape(&[1, 2]), None);
        assert_eq!(cell(&table, 2, 0, 1), RepeatCell { trials: 2, returns: 0 });
        assert_eq!(cell(&table, 2, 1, 2), RepeatCell { trials: 2, returns: 1 });
        assert_eq!(cell(&table, 2, 1, 1), RepeatCell::default());
        assert_eq!(table.place(2, 0)[0][LastStep::Same as usize], RepeatCell::default());
        assert_eq!(table.total(), RepeatCell { trials: 2, returns: 1 });
    }

    #[test]
    fn what_is_beyond_the_table_counts_at_its_edge() {
        let mut table = RepeatTable::default();
        table.observe(&shape(&[200; 40]), Some(39));
        let edge = cell(&table, RepeatTable::LENGTHS, RepeatTable::LENGTHS - 1, RepeatTable::TIMES as u8);
        assert_eq!(edge, RepeatCell { trials: 31, returns: 1 });
        assert_eq!(cell(&table, 99, 99, 99), edge);
    }

    #[test]
    fn a_table_survives_its_encoding_and_merges_by_addition() {
        let mut table = RepeatTable { version: Version::of(1, 9), ..RepeatTable::default() };
        table.observe(&shape(&[3, 1, 1]), Some(2));
        assert_eq!(RepeatTable::decode(&table.encode()).unwrap(), table);
        let mut sum = table.clone();
        sum.merge(&table);
        assert!(sum.counts().zip(table.counts()).all(|(both, one)| both == 2 * one));
        let of_courses = sum.courses().cells(Course::default().after(0), 0);
        assert_eq!(of_courses.map(|cell| cell.trials).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_table_of_an_older_release_is_read_and_one_cut_short_is_not() {
        let mut table = RepeatTable { version: Version::of(1, 9), ..RepeatTable::default() };
        table.observe(&shape(&[3, 1, 1]), Some(2));
        let mut older = table.clone();
        older.courses = CourseTable::default();
        let bytes = older.encode();
        let courses = older.courses.counts().count();
        let end = bytes.len() - courses;
        assert_eq!(RepeatTable::decode(&bytes[..end]), Ok(older), "each of its counts is a byte");
        assert!(
            (0..bytes.len()).filter(|&cut| cut != end).all(|cut| RepeatTable::decode(&bytes[..cut]).is_err())
        );
    }
}
