/// A small generator of random numbers (SplitMix64), the same on every machine and in every version of this program.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for a purpose, which does not depend on how much of this one was used before.
    pub fn fork(&self, purpose: u64) -> Self {
        Self(mix(self.0 ^ mix(purpose.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 up to, but not, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, but not, `n`, which must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        // A bias of n / 2^64 does no harm here.
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Any one; `items` must not be empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Exponentially distributed: the gaps between things that happen on their own.
    pub fn gap(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.fraction()).ln()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Unequal chances, drawn from in logarithmic time.
#[derive(Debug, Clone)]
pub(super) struct Weights(Vec<f64>);

impl Weights {
    /// The chances of `weights`, in their order.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let sums = weights.into_iter().map(|weight| {
            sum += weight;
            sum
        });
        Self(sums.collect())
    }

    /// `n` chances; the i-th from 1 weighs `i^-exponent`.
    pub fn zipf(n: usize, exponent: f64) -> Self {
        Self::new((1..=n).map(|i| (i as f64).powf(-exponent)))
    }

    /// The place of one.
    pub fn pick(&self, random: &mut Random) -> usize {
        let at = random.fraction() * self.0.last().copied().unwrap_or_default();
        self.0.partition_point(|&sum| sum <= at).min(self.0.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_do_not_depend_on_use() {
        let mut used = Random::new(7);
        let fork = used.fork(1).bits();
        assert_ne!(fork, used.fork(2).bits());
        assert_eq!(fork, Random::new(7).fork(1).bits());
        used.bits();
        assert_ne!(fork, used.bits());
    }

    #[test]
    fn the_sequence_never_changes() {
        // The reference values of SplitMix64 for the seed 0.
        let mut random = Random::new(0);
        assert_eq!(random.bits(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.bits(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn chances_follow_the_weights() {
        let weights = Weights::new([1.0, 0.0, 3.0]);
        let mut random = Random::new(1);
        let mut drawn = [0; 3];
        (0..10_000).for_each(|_| drawn[weights.pick(&mut random)] += 1);
        assert!((2_300..2_700).contains(&drawn[0]), "{drawn:?}");
        assert_eq!(drawn[1], 0);
    }
}
