//! The learnt chance that a shopper comes back to a product of the session.

use crate::settings::REPEAT_PRIOR;
use schemas::published::{RepeatCell, RepeatTable, SessionShape};

/// What part of events is guessed to be returns before any is seen.
const GUESS: f64 = 0.3;

/// The chance that the next event is on the product `distance` distinct products ago.
///
/// Estimated in three steps from coarse to fine, each with the one before as its prior: by session length and distance; by
/// how often the product was seen, too; by the session's last step, too. Before any observation a weak guess speaks.
pub fn return_chance(table: &RepeatTable, shape: &SessionShape, distance: usize) -> f64 {
    let place = table.place(shape.length(), distance);
    let of_times = &place[RepeatTable::row_of(shape.times[distance])];
    let guess = 0.1 * 0.6f64.powi(i32::try_from(distance).unwrap_or(i32::MAX));
    let finest = of_times[shape.last_step as usize];
    [sum(place.as_flattened()), sum(of_times), finest].into_iter().fold(guess, mixed)
}

fn sum(cells: &[RepeatCell]) -> RepeatCell {
    cells.iter().fold(RepeatCell::default(), |sum, cell| RepeatCell {
        trials: sum.trials + cell.trials,
        returns: sum.returns + cell.returns,
    })
}

/// How much likelier a return to the product `distance` distinct products ago is than `chance` says, by the order of the
/// session's last events: the last three, the last four and so on, each with what was estimated before as its prior.
pub fn course_ratio(table: &RepeatTable, shape: &SessionShape, distance: usize, chance: f64) -> f64 {
    table.courses().cells(shape.course, distance).fold(chance, mixed) / chance
}

/// The chance that a cell says, with what was estimated before as its prior.
fn mixed(prior: f64, cell: RepeatCell) -> f64 {
    (cell.returns as f64 + REPEAT_PRIOR * prior) / (cell.trials as f64 + REPEAT_PRIOR)
}

/// How many of the events that continued a session were returns: what a product's own returns are compared with.
pub fn usual_rate(table: &RepeatTable) -> f64 {
    mixed(GUESS, table.total())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::published::{Course, LastStep};

    fn shape(times: &[u8], last_step: LastStep) -> SessionShape {
        SessionShape { times: times.to_vec(), last_step, course: Course::default() }
    }

    #[test]
    fn a_chance_approaches_what_is_observed() {
        let mut table = RepeatTable::default();
        let back = shape(&[1, 1], LastStep::Return);
        for event in 0..4_000 {
            table.observe(&back, (event % 4 == 0).then_some(1));
        }
        assert!((return_chance(&table, &back, 1) - 0.25).abs() < 0.01);
        assert!(return_chance(&table, &back, 0) < 0.001);
    }

    #[test]
    fn shoppers_who_went_to_and_fro_tell_what_the_next_ones_do() {
        let mut table = RepeatTable::default();
        let course = |places: &[usize]| places.iter().fold(Course::default(), |course, &at| course.after(at));
        // Of ABAB half go on to A, of AABB nobody does.
        let [to_and_fro, one_after_the_other] = [&[0, 1, 0, 1], &[0, 0, 1, 1]]
            .map(|places| SessionShape { course: course(places), ..shape(&[2, 2], LastStep::New) });
        for event in 0..4_000 {
            table.observe(&to_and_fro, (event % 2 == 0).then_some(1));
            table.observe(&one_after_the_other, None);
        }
        let chance = return_chance(&table, &to_and_fro, 1);
        assert!((chance - 0.25).abs() < 0.01, "{chance}");
        assert!((chance * course_ratio(&table, &to_and_fro, 1, chance) - 0.5).abs() < 0.01);
        assert!(course_ratio(&table, &one_after_the_other, 1, chance) < 0.01);
        let longer = SessionShape { course: course(&[0, 1, 0, 1, 2]), ..to_and_fro.clone() };
        let of_its_end = course_ratio(&table, &longer, 1, chance);
        assert!((chance * of_its_end - 0.5).abs() < 0.01, "a longer one ends alike: {of_its_end}");
        let unseen = SessionShape { course: course(&[0, 1, 2, 3]), ..to_and_fro };
        assert_eq!(course_ratio(&table, &unseen, 1, chance), 1.0, "nothing is known of it");
        assert_eq!(course_ratio(&RepeatTable::default(), &unseen, 9, 0.1), 1.0, "far beyond the last events");
    }

    #[test]
    fn what_was_never_seen_takes_the_chance_of_what_is_most_like_it() {
        let mut table = RepeatTable::default();
        for event in 0..4_000 {
            table.observe(&shape(&[1, 1], LastStep::New), (event % 2 == 0).then_some(1));
        }
        let unseen = return_chance(&table, &shape(&[1, 3], LastStep::Same), 1);
        assert!((unseen - 0.5).abs() < 0.01, "{unseen}");
        let longer = return_chance(&table, &shape(&[1, 1, 1], LastStep::New), 1);
        assert!((longer - 0.06).abs() < 1e-9, "another length says nothing: {longer}");
    }
}
