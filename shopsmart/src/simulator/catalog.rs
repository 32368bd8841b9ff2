use std::collections::HashSet;

use super::random::{Random, Weights};
use super::words::{BRANDS, Category, DEPARTMENTS, Department};

/// Products of one interest, about.
const PER_INTEREST: usize = 12;
/// Categories that an interest takes its products from.
const CATEGORIES_PER_INTEREST: usize = 3;
/// How uneven products are: the n-th is `n^-0.8` as popular as the first.
const UNEVEN: f64 = 0.8;
/// Sequences of random numbers that only the catalog uses, beyond those of shoppers.
const PURPOSE: u64 = 1 << 40;

/// A product of the shop.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// Its id: the category and a number.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Department, then category; the latter is the `category_id` of events.
    pub category_path: [&'static str; 2],
    /// In euros.
    pub price: f64,
    /// The group of products that the same shoppers like.
    pub interest: usize,
    category: usize,
    popularity: f64,
}

impl Product {
    /// The category that events name.
    pub fn category_id(&self) -> &'static str {
        self.category_path[1]
    }
}

/// What the shop sells. Products are known by their place; the last one is launched later.
#[derive(Debug)]
pub struct Catalog {
    products: Vec<Product>,
    interests: Vec<Group>,
    categories: Vec<Group>,
    all: Group,
}

/// Some products and how often each of them is chosen.
#[derive(Debug)]
pub(super) struct Group {
    products: Vec<u32>,
    weights: Weights,
}

impl Group {
    fn new(places: Vec<u32>, products: &[Product]) -> Self {
        let weights = Weights::new(places.iter().map(|&place| products[place as usize].popularity));
        Self { products: places, weights }
    }

    /// One of them; `None` where there is none.
    pub fn pick(&self, random: &mut Random) -> Option<u32> {
        (!self.products.is_empty()).then(|| self.products[self.weights.pick(random)])
    }
}

impl Catalog {
    /// `size` products that are there from the start, and one to launch.
    pub(super) fn new(seed: u64, size: u32) -> Self {
        let mut random = Random::new(seed).fork(PURPOSE);
        let leaves: Vec<(&Department, &Category)> =
            DEPARTMENTS.iter().flat_map(|d| d.categories.iter().map(move |c| (d, c))).collect();
        let interests = (size as usize / PER_INTEREST).max(1);
        let themes = themes(interests, &leaves, &mut random);

        let mut names = HashSet::new();
        let mut products: Vec<Product> = Vec::with_capacity(size as usize + 1);
        for place in 0..=size as usize {
            let category = place % leaves.len();
            let (department, leaf) = leaves[category];
            let fitting: Vec<usize> =
                (0..interests).filter(|&interest| themes[interest].contains(&category)).collect();
            let interest = if fitting.is_empty() { random.below(interests) } else { *random.pick(&fitting) };
            products.push(Product {
                id: format!("{}-{}", leaf.id, place / leaves.len() + 1),
                name: name(department, leaf, &mut names, &mut random),
                category_path: [department.id, leaf.id],
                price: price(leaf, &mut random),
                interest,
                category,
                popularity: 0.0,
            });
        }
        rank(&mut products, &mut random);
        Self::grouped(products, interests, leaves.len())
    }

    fn grouped(products: Vec<Product>, interests: usize, categories: usize) -> Self {
        let listed = products.len() - 1;
        let group = |belongs: &dyn Fn(&Product) -> bool| {
            let places = (0..listed as u32).filter(|&place| belongs(&products[place as usize]));
            Group::new(places.collect(), &products)
        };
        let by_interest = (0..interests).map(|interest| group(&|p| p.interest == interest)).collect();
        let by_category = (0..categories).map(|category| group(&|p| p.category == category)).collect();
        let all = group(&|_| true);
        Self { interests: by_interest, categories: by_category, all, products }
    }

    /// What is sold from the start.
    pub fn listed(&self) -> &[Product] {
        &self.products[..self.products.len() - 1]
    }

    /// The place of the product that is launched later.
    pub fn launched(&self) -> u32 {
        self.products.len() as u32 - 1
    }

    /// The product at a place, listed or launched.
    pub fn product(&self, place: u32) -> &Product {
        &self.products[place as usize]
    }

    /// How many interests there are.
    pub fn interests(&self) -> usize {
        self.interests.len()
    }

    pub(super) fn of_interest(&self, interest: usize) -> &Group {
        &self.interests[interest]
    }

    pub(super) fn beside(&self, place: u32) -> &Group {
        &self.categories[self.product(place).category]
    }

    pub(super) fn all(&self) -> &Group {
        &self.all
    }
}

/// The categories of each interest: one after the other, so that none is left out, with others of its department,
/// and sometimes one from anywhere.
fn themes(n: usize, leaves: &[(&Department, &Category)], random: &mut Random) -> Vec<Vec<usize>> {
    let mut theme = |interest: usize| {
        let first = interest % leaves.len();
        let mut theme = vec![first];
        while theme.len() < CATEGORIES_PER_INTEREST {
            let other = random.below(leaves.len());
            let near = leaves[other].0.id == leaves[first].0.id;
            if !theme.contains(&other) && (near || random.chance(0.02)) {
                theme.push(other);
            }
        }
        theme
    };
    (0..n).map(&mut theme).collect()
}

fn name(
    department: &Department,
    category: &Category,
    taken: &mut HashSet<String>,
    random: &mut Random,
) -> String {
    let plain = |random: &mut Random| {
        let (brand, quality) = (random.pick(BRANDS), random.pick(department.qualities));
        format!("{brand} {quality} {}", random.pick(category.nouns))
    };
    for _ in 0..20 {
        let name = plain(random);
        if taken.insert(name.clone()) {
            return name;
        }
    }
    // A large catalog runs out of words.
    let name = format!("{} No. {}", plain(random), taken.len());
    taken.insert(name.clone());
    name
}

/// Most are on the cheap side of what the category allows; all end in 90 cents.
fn price(category: &Category, random: &mut Random) -> f64 {
    let (cheapest, dearest) = category.price;
    let share = random.fraction() * random.fraction();
    (cheapest + (dearest - cheapest) * share).floor() + 0.9
}

/// Gives every product a rank of popularity, and the launched one the first product's popularity.
fn rank(products: &mut [Product], random: &mut Random) {
    let mut order: Vec<usize> = (0..products.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    for (rank, &place) in order.iter().enumerate() {
        products[place].popularity = ((rank + 1) as f64).powf(-UNEVEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_every_category_is_filled() {
        let catalog = Catalog::new(1, 600);
        assert_eq!(catalog.listed().len(), 600);
        let all: Vec<&Product> = (0..=catalog.launched()).map(|place| catalog.product(place)).collect();
        let count = |key: fn(&Product) -> String| all.iter().map(|p| key(p)).collect::<HashSet<_>>().len();
        assert_eq!(count(|p| p.id.clone()), 601);
        assert_eq!(count(|p| p.name.clone()), 601);
        assert_eq!(count(|p| p.category_id().to_owned()), 40);
        assert!(catalog.categories.iter().all(|group| group.products.len() == 15));
    }

    #[test]
    fn a_catalog_of_any_size_can_be_made() {
        for size in [1, 13, 30_000] {
            let catalog = Catalog::new(3, size);
            let names: HashSet<&String> = catalog.products.iter().map(|p| &p.name).collect();
            assert_eq!(names.len(), size as usize + 1);
        }
    }

    #[test]
    fn interests_cross_categories() {
        let catalog = Catalog::new(1, 600);
        let crossing = catalog.interests.iter().filter(|group| {
            let categories: HashSet<usize> =
                group.products.iter().map(|&place| catalog.product(place).category).collect();
            categories.len() >= 2
        });
        assert!(crossing.count() * 10 >= catalog.interests() * 9);
    }

    #[test]
    fn prices_fit_the_category() {
        let catalog = Catalog::new(5, 600);
        for product in catalog.listed() {
            let leaf = DEPARTMENTS.iter().flat_map(|d| d.categories).find(|c| c.id == product.category_id());
            let (cheapest, dearest) = leaf.unwrap().price;
            assert!(product.price >= cheapest && product.price <= dearest + 0.9, "{product:?}");
        }
    }
}
