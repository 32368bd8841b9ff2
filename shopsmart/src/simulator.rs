//! A shop that does not exist: a catalog with names and prices, and shoppers whose behaviour holds what a recommender
//! can learn. Everything follows from a seed, so the same options make the same shop and the same events.
//!
//! What can be learnt: each product belongs to one *interest*, a dozen products from a few categories that the same
//! people like; each shopper has a few favourite interests, and a session follows one of them. Popularity is uneven,
//! shoppers return to what they saw, put some of it into the cart and buy some of that. Midway a product is launched
//! and becomes hot, which only a fresh recommender notices.

mod catalog;
mod events;
mod random;
mod session;
mod traffic;
mod words;

pub use self::catalog::{Catalog, Product};
pub use self::events::{Period, write_csv};
pub use self::random::Random;
pub use self::traffic::{Event, Launch, Pace, Traffic};

use self::random::Weights;

/// How large the shop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Products that are there from the start; the launched one comes on top.
    pub products: u32,
    /// Shoppers who may come.
    pub shoppers: u32,
}

/// A shop: what it sells, and who comes.
#[derive(Debug)]
pub struct Shop {
    seed: u64,
    catalog: Catalog,
    shoppers: Weights,
    favourites: Weights,
}

/// How uneven shoppers and interests are: the n-th is `n^-0.6` as frequent as the first.
const UNEVEN: f64 = 0.6;
/// How many interests a shopper has, and how much of the time each gets.
const FAVOURITES: [f64; 3] = [0.65, 0.25, 0.10];

impl Shop {
    /// The shop of a seed.
    ///
    /// # Panics
    /// When there is no product or no shopper.
    pub fn new(seed: u64, size: Size) -> Self {
        assert!(size.products > 0 && size.shoppers > 0, "a shop has products and shoppers: {size:?}");
        let catalog = Catalog::new(seed, size.products);
        let favourites = Weights::zipf(catalog.interests(), UNEVEN);
        Self { seed, catalog, shoppers: Weights::zipf(size.shoppers as usize, UNEVEN), favourites }
    }

    /// What it sells.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The `user_id` of a shopper.
    pub fn user_id(shopper: u32) -> String {
        format!("shopper-{}", shopper + 1)
    }

    /// The interest that a shopper's session is about.
    fn interest_of(&self, shopper: u32, session: &mut Random) -> usize {
        // Made anew each time, which is cheaper than keeping a million shoppers' tastes.
        let mut taste = Random::new(self.seed).fork(1 + u64::from(shopper));
        let favourites = FAVOURITES.map(|_| self.favourites.pick(&mut taste));
        let mut chance = session.fraction();
        for (favourite, share) in favourites.into_iter().zip(FAVOURITES) {
            chance -= share;
            if chance < 0.0 {
                return favourite;
            }
        }
        favourites[0]
    }
}

#[cfg(test)]
mod tests;
