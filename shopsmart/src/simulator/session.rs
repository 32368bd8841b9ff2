use schemas::EventKind;

use super::random::Random;
use super::{Launch, Shop};

/// After each view, how likely another one follows: 4 to 5 views in a session.
const GOES_ON: f64 = 0.78;
/// A view of a product that was seen before in the session.
const RETURNS: f64 = 0.14;
/// A view of something else of the last product's category.
const STAYS_BESIDE: f64 = 0.10;
/// A view of what everybody looks at.
const FOLLOWS_THE_CROWD: f64 = 0.08;
/// A viewed product goes into the cart; more often when the shopper has come back to it.
const ADDS: f64 = 0.09;
const ADDS_ON_RETURN: f64 = 0.30;
/// What is in the cart at the end is bought.
const BUYS: f64 = 0.55;

/// One visit of one shopper.
#[derive(Debug)]
pub(super) struct Session {
    pub shopper: u32,
    pub random: Random,
    interest: usize,
    viewed: Vec<u32>,
    cart: Vec<u32>,
    /// What was decided but has not happened yet.
    next: Next,
}

#[derive(Debug)]
enum Next {
    View,
    Add(u32),
    /// Leaving, with what is bought, the last first.
    Leave(Vec<u32>),
}

impl Session {
    /// A visit that begins.
    pub fn new(shop: &Shop, shopper: u32, mut random: Random) -> Self {
        let interest = shop.interest_of(shopper, &mut random);
        Self { shopper, random, interest, viewed: Vec::new(), cart: Vec::new(), next: Next::View }
    }

    /// What the shopper does next; `None` = has left. `launch` is the product that is hot now, if any.
    pub fn step(&mut self, shop: &Shop, launch: Option<&Launch>) -> Option<(EventKind, u32)> {
        match &mut self.next {
            Next::View => {
                let product = self.choose(shop, launch);
                let returned = self.viewed.contains(&product);
                self.viewed.push(product);
                let adds = if returned { ADDS_ON_RETURN } else { ADDS };
                let adds = !self.cart.contains(&product) && self.random.chance(adds);
                self.next = if adds { Next::Add(product) } else { self.after_view() };
                Some((EventKind::View, product))
            }
            Next::Add(product) => {
                let product = *product;
                self.cart.push(product);
                self.next = self.after_view();
                Some((EventKind::AddToCart, product))
            }
            Next::Leave(bought) => bought.pop().map(|product| (EventKind::Purchase, product)),
        }
    }

    fn after_view(&mut self) -> Next {
        if self.random.chance(GOES_ON) {
            return Next::View;
        }
        let buys = self.random.chance(BUYS);
        Next::Leave(if buys { std::mem::take(&mut self.cart) } else { Vec::new() })
    }

    fn choose(&mut self, shop: &Shop, launch: Option<&Launch>) -> u32 {
        let catalog = shop.catalog();
        let random = &mut self.random;
        if let Some(launch) = launch
            && random.chance(launch.share)
            && !self.viewed.contains(&launch.product)
        {
            return launch.product;
        }
        let seen_before = self.viewed.len().saturating_sub(1);
        if seen_before > 0 && random.chance(RETURNS) {
            return self.viewed[random.below(seen_before)];
        }
        let last = self.viewed.last();
        let group = match random.fraction() {
            x if x < FOLLOWS_THE_CROWD => catalog.all(),
            x if x < FOLLOWS_THE_CROWD + STAYS_BESIDE && last.is_some() => {
                catalog.beside(last.copied().unwrap_or(0))
            }
            _ => catalog.of_interest(self.interest),
        };
        // Something new, if a few glances find it.
        for _ in 0..4 {
            if let Some(product) = group.pick(random)
                && !self.viewed.contains(&product)
            {
                return product;
            }
        }
        catalog.all().pick(random).unwrap_or_default()
    }
}
