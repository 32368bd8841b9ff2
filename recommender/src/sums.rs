//! Adding up what many lists say of the same products.

use crate::interner::Symbol;

/// What was added up for one product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) product: Symbol,
    /// How often it was seen together with the product whose list is made.
    pub(crate) count: u32,
    /// The direct part of the score.
    pub(crate) direct: f32,
    pub(crate) score: f64,
}

/// Where a product's sum is, if the place was taken in this round.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    product: Symbol,
    index: u32,
    round: u32,
}

/// Sums by product: a hash table that is emptied in no time, and in which nothing is ever deleted. One is used for list after
/// list, so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Sums {
    slots: Vec<Slot>,
    round: u32,
    entries: Vec<Sum>,
}

impl Sums {
    /// Forgets everything, and makes room for up to `count` products.
    pub(crate) fn begin(&mut self, count: usize) {
        // At most half full, so that a search is short.
        let slots = (2 * count).next_power_of_two().max(2);
        self.round = self.round.wrapping_add(1);
        if self.slots.len() < slots || self.round == 0 {
            self.slots = vec![Slot::default(); slots.max(self.slots.len())];
            self.round = 1;
        }
        self.entries.clear();
    }

    /// The sum of a product, 0 at first. No more different ones than [`Self::begin`] made room for.
    #[inline]
    pub(crate) fn of(&mut self, product: Symbol) -> &mut Sum {
        let (round, mask) = (self.round, self.slots.len() - 1);
        // The high bits of a product with 2^32/φ: consecutive symbols come to lie far apart.
        let mut at =
            product.0.wrapping_mul(0x9E37_79B9) as usize >> (u32::BITS - self.slots.len().trailing_zeros());
        loop {
            let slot = &mut self.slots[at & mask];
            if slot.round != round {
                *slot = Slot { product, index: self.entries.len() as u32, round };
                self.entries.push(Sum { product, count: 0, direct: 0.0, score: 0.0 });
                return self.entries.last_mut().expect("one was added");
            }
            if slot.product == product {
                return &mut self.entries[slot.index as usize];
            }
            at += 1;
        }
    }

    /// The sums, in the order in which their products came first.
    pub(crate) fn entries(&self) -> &[Sum] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn sums_are_those_of_a_map_use_after_use() {
        let mut sums = Sums::default();
        let mut random = fastrand::Rng::with_seed(1);
        for products in [1u32, 3, 1_000, 40, 2_000, 7] {
            let mut expected: HashMap<u32, f64> = HashMap::new();
            sums.begin(products as usize);
            for _ in 0..products * 4 {
                // Far apart and close together.
                let product = random.u32(0..products).wrapping_mul(if products == 40 { 1 << 20 } else { 1 });
                let value = f64::from(random.u32(1..100));
                sums.of(Symbol(product)).score += value;
                *expected.entry(product).or_default() += value;
            }
            let found: HashMap<u32, f64> =
                sums.entries().iter().map(|sum| (sum.product.0, sum.score)).collect();
            assert_eq!(sums.entries().len(), found.len(), "each product once");
            assert_eq!(found, expected);
        }
    }
}
