//! Every constant that the recommendations depend on, with the measurement that chose it.
//!
//! Measured as HR@20 / MRR@20 on validation sets cut from the tail of the training sessions of two public data sets (RR =
//! RetailRocket, DG = Diginetica; `docs/quality.md` says how), never on the test sessions. PU = HR@20 of purchases held out
//! of a RetailRocket log with times, for products that their buyers never touched. One setting serves every shop; the curves
//! are flat around these values, so there is nothing to be tuned per shop.

use schemas::published::Window;

/// Neighbours published for a product. 50 → 75: RR ±0, DG +.0004 / +.0001; 64 fit into 1 KiB at ids of 8 bytes.
pub const PUBLISHED: usize = 64;

/// Best direct neighbours whose own lists fill a product's list. 30 → 50: ±.0003.
pub const HOPS_OVER: usize = 30;

/// Exponent of the product's own popularity in P_ij. .25 → .5: RR +.0006 / +.0001, DG +.001 / +.0002; 1: −.002 / −.001.
pub const OWN_EXPONENT: f64 = 0.5;

/// Exponent of the neighbour's popularity in P_ij. .1: RR −.002, DG −.007; .2 to .3: ±.001.
pub const OTHER_EXPONENT: f64 = 0.25;

/// Exponent of the neighbour's momentum. 0 (none): RR −.006 / −.002, DG −.006 / −.001; .5: −.002 / −.002.
pub const MOMENTUM_EXPONENT: f64 = 0.3;

/// Added to the momentum, so that what is not in demand just now can still be recommended. .001: RR −.001, DG −.003; .1:
/// RR −.002, DG ±0.
pub const MOMENTUM_FLOOR: f64 = 0.02;

/// Weight β of the two-hop fill. 3, learning each event: RR +.0006 / −.0004, DG +.0001 / −.0003; 4: RR −.0013 / −.001, DG
/// −.0006 / −.001. Before returns were judged as they are now, 0: RR −.012 / −.002, DG −.013 / −.004; 5: −.001 to −.003 /
/// −.001. Dividing what a neighbour passes on by its own total instead of the product's: RR +.001 / +.001, DG +.002 / ±0.
pub const FILL: f64 = 2.0;

/// Distinct products of the session after which a product's list counts e^-1. 1.2 to 2: ±.002.
pub const SESSION_DECAY: f64 = 1.5;

/// Exponent of one list's part before the parts of a session's products are added: several weak votes beat one strong one.
/// 1: RR −.002 / −.0005, DG ±0; .7: ±.0005.
pub const VOTE_EXPONENT: f64 = 0.8;

/// Exponent of the sum, after which the scores share the chance that the next product is new. 1 (with votes at 1): DG −.0004
/// / −.001 through a worse mix with products seen again.
pub const SUM_EXPONENT: f64 = 0.9 / VOTE_EXPONENT;

/// What the pairs of an event are divided by that comes back to a product of its session: it says less of where others will
/// go. 2, learning each event: RR −.0003 to −.0009 / ±0 to −.0004, DG −.0002 / ±0. Beside 2, 1: RR −.0024 / −.0003, DG ±0 /
/// −.0002, and on the sessions before those −.0007 / −.0004 and −.0013 / −.0003; leaving these pairs out: RR ±0, DG −.0014 /
/// −.0001.
pub const RETURN_PAIRS_DIVIDED_BY: u32 = 3;

/// What speaks for and against a return besides the repeat table, in log-odds against a product that is new to the session.
/// Fitted as one conditional logit to three tails of the training sessions, of 5,000 RR and 14,000 DG sessions each, the
/// last one that of the validation set, with lists as they were before and with lists that learn each event; all weigh the
/// same. Against the weights before, of a table without courses, MRR on the last tail, of a fit to the other two: learning
/// each event RR +.0024, DG +.0026; not learning +.0005, +.0018. Instead a return times 1 + 8 · its share of the last
/// product's list: RR +.001 / −.0021, DG −.0009 / −.0021.
pub const RETURN_WEIGHTS: ReturnWeights = ReturnWeights {
    constant: -0.83,
    last: 0.79,
    distance: 0.25,
    course: 0.66,
    share_of_last: 0.28,
    lists_last: 0.32,
    share_of_own: 0.32,
    steps_between: 0.16,
    own_rate: 0.47,
    seldom_seen: 0.35,
    returned_before: 0.28,
    just_returned: -0.27,
};

/// See [`RETURN_WEIGHTS`]. A share s of a list counts as ln(1 + 30 s).
#[derive(Debug, Clone, Copy)]
pub struct ReturnWeights {
    /// Of every return.
    pub constant: f64,
    /// The product is the last one.
    pub last: f64,
    /// Of ln(1 + how many distinct products ago it was seen last).
    pub distance: f64,
    /// Of the logarithm of what the order of the last events says beyond the repeat table
    /// ([`crate::repeats::course_ratio`]). 0 and the rest fitted to that: RR −.0005 to −.0022, DG −.0007
    /// to −.0018 (MRR).
    pub course: f64,
    /// Of the product's share of the last product's list, without what this session itself added to it. With one of its
    /// count taken for that instead of the session's pairs: RR +.0003, DG −.0001, and live −.0008, −.0002 (MRR).
    pub share_of_last: f64,
    /// The last product is on the product's own list.
    pub lists_last: f64,
    /// Of the last product's share of the product's own list, without what this session itself added to it.
    pub share_of_own: f64,
    /// Of ln(1 + the session's steps from the product to the last one or back, before its last step); see
    /// [`crate::session::Tie`]. 0: RR −.0004, DG −.0001 (MRR).
    pub steps_between: f64,
    /// Of the logarithm of how much more often than usual the product's events are returns. 0: RR −.0004 / −.0014, DG ±0.
    pub own_rate: f64,
    /// Of ln((10 + n) / (1 + n)) for a product that others saw n times ([`SEEN_OFTEN`]). 0, learning each
    /// event: RR −.0002 to −.0004, DG −.0008; not learning, RR −.0009 to +.0008, DG −.001 (MRR).
    pub seldom_seen: f64,
    /// The session came back to one of its products before. With the next one, 0: RR −.0004 / −.0005, DG −.0004 / −.0002.
    pub returned_before: f64,
    /// The last event itself came back to a product.
    pub just_returned: f64,
}

/// Events with the usual share of returns that a product's own are mixed with before they speak. 4 and 16: ±.0002.
pub const OWN_RATE_PRIOR: f64 = 8.0;

/// Events of a product, decayed, from which on it matters little how many there are. 4 to 30: ±.0002; 100: −.0001.
pub const SEEN_OFTEN: f64 = 10.0;

/// Observations that a coarser cell of the repeat table weighs in a finer one. 5 to 100: ±.0002.
pub const REPEAT_PRIOR: f64 = 20.0;

/// Weight of a product in the profile of a shopper who is not in a session, by the strongest thing done with it (view, add
/// to cart, purchase). All alike: PU −.017.
pub const PROFILE_WEIGHTS: [f64; 3] = [0.3, 1.0, 4.0];

/// What a product of the profile weighs less for each session since. 1: PU ±.002.
pub const PROFILE_DECAY_PER_SESSION: f64 = 0.9;

/// Exponent of one list's part in a profile (see [`VOTE_EXPONENT`] for a session). .6: PU −.002; .4: ±0; .3: −.006.
pub const PROFILE_VOTE_EXPONENT: f64 = 0.5;

/// Exponent of a list's total that its parts in a profile are divided by. 0: PU −.004 (measured with the last one).
pub const PROFILE_TOTAL_EXPONENT: f64 = 0.5;

/// What the part of a score that comes by way of other products counts in a profile; in a session it counts in full. What is
/// bought has more to do with what was seen beside it than with where a walk leads. .2: PU −.002 / +.001; .3: −.0005 /
/// +.001; .55: ±0 / −.002; .7: −.001 / −.001. In a session, of another [`FILL`], .7 and 1.4: RR −.0023 to +.0005 / ±.0002,
/// DG −.0007 / −.0006 to ±0.
pub const PROFILE_FILL: f32 = 0.4;

/// Products of a profile whose lists are read: the heaviest. 20: PU −.004; 30: −.002; 50: ±0.
pub const PROFILE_PRODUCTS: usize = 40;

/// Events at the usual pace that a product's demand is mixed with before it counts as rising ([`crate::rising`]). No
/// prediction rests on this and the next: they keep products with a handful of events off the list.
pub const RISING_PRIOR: f64 = 20.0;

/// Recent events, decayed, that a product needs to be among what rises.
pub const RISING_MINIMUM: f64 = 5.0;

/// What a shopper is served of whom nothing is known: the best of these windows, the next one where there are too few. First
/// events of the sessions of a RetailRocket log of 700 events a day, HR@20 / MRR@20: .0336 / .0087; with the last day after
/// the hour, .0312 / .0085; beginning with the day, .0189 / .0051.
pub const COLD_START: [Window; 3] = [Window::Hour, Window::Week, Window::Month];
