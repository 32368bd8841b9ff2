use super::RepeatCell;
use crate::codec::{DecodeError, Reader};

/// Events of a session whose order is told apart, the latest ones.
const EVENTS: usize = 6;
/// Fewer of the latest events than this are told apart only where they are the whole session: the rest of the table of
/// returns knows as much of them.
const LEAST: u8 = 3;
/// How many courses there are, that of no events included: the Bell numbers, added up.
const COURSES: usize = 1 + 1 + 2 + 5 + 15 + 52 + 203;

/// In which order a session's last events, at most six, went to its products: which of them were on the same product,
/// whichever it is. A session ABAC that goes on is told apart from one of ABCA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Course(u16);

/// A course, as a node of a tree: one event further into the past leads to a child.
#[derive(Clone, Copy)]
struct Node {
    /// The child whose earliest event is on the last product; the others follow in the order of their products.
    first_child: u16,
    events: u8,
    /// Distinct products.
    products: u8,
    /// Where its counts are: first those of sessions that end with its last three events, its last four and so on, then
    /// those of sessions that are no more than this.
    places: [Place; PLACES],
    known_places: u8,
}

/// Where counts begin: of trials, then of returns to each product.
#[derive(Clone, Copy)]
struct Place {
    at: u16,
    products: u8,
}

/// By its last three events up to all six, or up to five and as a whole.
const PLACES: usize = EVENTS + 1 - LEAST as usize;

/// All courses, shorter ones first.
static NODES: [Node; COURSES] = TREE.0;
/// How many counts there are.
const COUNTS: usize = TREE.1;
const TREE: ([Node; COURSES], usize) = tree();

const fn tree() -> ([Node; COURSES], usize) {
    let nowhere = Place { at: 0, products: 0 };
    let none = Node { first_child: 0, events: 0, products: 0, places: [nowhere; PLACES], known_places: 0 };
    let mut nodes = [none; COURSES];
    let (mut at, mut free, mut counts) = (0, 1, 0);
    while at < COURSES {
        let mut node = nodes[at];
        if node.events >= LEAST {
            counts = node.count_at(counts);
        }
        // Its children end like this, but are more.
        let ends = node;
        if node.events > 0 && (node.events as usize) < EVENTS {
            counts = node.count_at(counts);
        }
        if (node.events as usize) < EVENTS {
            node.first_child = free as u16;
            let mut product = 0;
            while product <= node.products {
                let products = if product == node.products { node.products + 1 } else { node.products };
                nodes[free] = Node { events: node.events + 1, products, ..ends };
                free += 1;
                product += 1;
            }
        }
        nodes[at] = node;
        at += 1;
    }
    assert!(free == COURSES);
    (nodes, counts as usize)
}

impl Node {
    /// Takes the next free counts for itself; returns the next free ones after these.
    const fn count_at(&mut self, free: u16) -> u16 {
        self.places[self.known_places as usize] = Place { at: free, products: self.products };
        self.known_places += 1;
        free + self.products as u16 + 1
    }
}

impl Course {
    /// The course with one event before it, on the product `place` distinct products ago (one more than it has products for
    /// another one). Beyond six events nothing changes.
    ///
    /// # Panics
    /// When the place is farther than the products of the course.
    pub fn after(self, place: usize) -> Self {
        let node = &NODES[usize::from(self.0)];
        if usize::from(node.events) == EVENTS {
            return self;
        }
        assert!(place <= usize::from(node.products), "products are numbered as they appear");
        Self(node.first_child + place as u16)
    }

    /// Its number in records; 0 is that of no events.
    pub fn number(self) -> u32 {
        self.0.into()
    }

    /// The course of a number, where there is one.
    pub fn of_number(number: u32) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (usize::from(number) < COURSES).then_some(Self(number))
    }

    /// Where its counts are, the coarsest first, each with its number of products.
    fn cells(self) -> impl Iterator<Item = (usize, usize)> {
        let node = &NODES[usize::from(self.0)];
        let known = &node.places[..usize::from(node.known_places)];
        known.iter().map(|place| (usize::from(place.at), usize::from(place.products)))
    }
}

/// How often sessions of each course went on, and to which of its products they returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourseTable {
    counts: Vec<u64>,
}

impl Default for CourseTable {
    fn default() -> Self {
        Self { counts: vec![0; COUNTS] }
    }
}

impl CourseTable {
    /// Counts one event that continued a session of this course: `distance` says how many distinct products ago its product
    /// was last seen, `None` that it was new.
    pub fn observe(&mut self, course: Course, distance: Option<u32>) {
        let distance = distance.map_or(usize::MAX, |distance| distance as usize);
        for (at, products) in course.cells() {
            self.counts[at] += 1;
            if distance < products {
                self.counts[at + 1 + distance] += 1;
            }
        }
    }

    /// The counts for the product `distance` distinct products ago in a session of this course: by its last three events,
    /// its last four and so on, as far as the product is among them.
    pub fn cells(&self, course: Course, distance: usize) -> impl Iterator<Item = RepeatCell> {
        let near = course.cells().filter(move |&(_, products)| distance < products);
        near.map(move |(at, _)| RepeatCell {
            trials: self.counts[at],
            returns: self.counts[at + 1 + distance],
        })
    }

    /// Adds another partition's counts.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    /// The counts in a fixed order, for packing and comparing.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().copied()
    }

    /// Reads the counts in their fixed order.
    ///
    /// # Errors
    /// When there are fewer, or one is too large.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut table = Self::default();
        for count in &mut table.counts {
            *count = reader.counted()?;
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The course of a session, the oldest event first.
    fn course(session: &str) -> Course {
        let mut seen = Vec::new();
        session.bytes().rev().take(EVENTS).fold(Course::default(), |course, product| {
            let place = seen.iter().position(|known| *known == product).unwrap_or(seen.len());
            if place == seen.len() {
                seen.push(product);
            }
            course.after(place)
        })
    }

    fn cells(table: &CourseTable, session: &str, distance: usize) -> Vec<(u64, u64)> {
        table.cells(course(session), distance).map(|cell| (cell.trials, cell.returns)).collect()
    }

    #[test]
    fn each_order_of_products_has_a_course_of_its_own() {
        let sessions: Vec<String> = (0..6u32.pow(6))
            .map(|number| {
                (0..6).map(|place| char::from(b'a' + (number / 6u32.pow(place) % 6) as u8)).collect()
            })
            .collect();
        let all: HashSet<Course> =
            sessions.iter().flat_map(|whole| (0..=6).map(|events| course(&whole[..events]))).collect();
        assert_eq!(all.len(), COURSES);
        assert_eq!(course("abac"), course("xyxz"));
        assert_ne!(course("abac"), course("abca"));
        assert_eq!(course("abcdefg"), course("zbcdefg"), "what is before the last six is forgotten");
        let numbers: HashSet<u32> = all.iter().map(|course| course.number()).collect();
        assert!(numbers.iter().all(|&number| Course::of_number(number).unwrap().number() == number));
        assert_eq!((Course::of_number(COURSES as u32), Course::of_number(u32::MAX)), (None, None));
    }

    #[test]
    fn no_two_courses_share_a_count() {
        let mut used = vec![0; COUNTS];
        for (number, node) in NODES.iter().enumerate() {
            let own: Vec<_> = Course(number as u16).cells().collect();
            let ends = usize::from(node.events.saturating_sub(LEAST - 1));
            let whole = usize::from((1..EVENTS).contains(&usize::from(node.events)));
            assert_eq!(own.len(), ends + whole);
            // Its own are the finest; the others are those of its ends.
            let finest = own.len() - own.len().min(whole + usize::from(ends > 0));
            own[finest..].iter().for_each(|&(at, products)| used[at..=at + products].fill(number));
            assert!(own.iter().all(|&(at, products)| at + products < COUNTS));
        }
        assert!(used.iter().all(|&number| number > 0), "every count is one's");
        let sizes: usize = (1..COURSES)
            .map(|number| {
                let node = NODES[number];
                let kinds = usize::from(node.events >= LEAST)
                    + usize::from((1..EVENTS).contains(&usize::from(node.events)));
                kinds * (usize::from(node.products) + 1)
            })
            .sum();
        assert_eq!(sizes, COUNTS);
    }

    #[test]
    fn an_event_counts_for_each_end_of_its_session_and_for_the_whole() {
        let mut table = CourseTable::default();
        table.observe(course("abac"), Some(1));
        assert_eq!(cells(&table, "abac", 1), [(1, 1), (1, 1), (1, 1)], "the last three, four, and the whole");
        assert_eq!(cells(&table, "abac", 0), [(1, 0), (1, 0), (1, 0)]);
        assert_eq!(cells(&table, "xabac", 1), [(1, 1), (1, 1), (0, 0), (0, 0)], "a longer one ends alike");
        assert_eq!(cells(&table, "bac", 2), [(1, 0), (0, 0)], "b is among the last three, too");
        assert_eq!(cells(&table, "abbac", 3), [], "there are three products");
        table.observe(course("ab"), None);
        assert_eq!(cells(&table, "ab", 0), [(1, 0)], "two events are told apart as a whole session");
        table.observe(Course::default(), Some(0));
        assert_eq!(table.counts().sum::<u64>(), 7, "of no events there is nothing to count");
    }

    #[test]
    fn what_is_farther_than_the_last_events_is_no_return_to_them() {
        let mut table = CourseTable::default();
        table.observe(course("zabcabc"), Some(3));
        assert!((0..3).all(|distance| cells(&table, "abcabc", distance).iter().all(|cell| *cell == (1, 0))));
    }
}
