//! What the names in the catalog are made of.

/// A part of the shop.
pub(super) struct Department {
    /// The root of its category paths.
    pub id: &'static str,
    /// What its products may be like.
    pub qualities: &'static [&'static str],
    /// What it sells.
    pub categories: &'static [Category],
}

/// A leaf of the category tree.
pub(super) struct Category {
    /// Its id, unique in the shop; product ids begin with it.
    pub id: &'static str,
    /// What its products are called.
    pub nouns: &'static [&'static str],
    /// The cheapest and the dearest, in euros.
    pub price: (f64, f64),
}

const fn category(id: &'static str, nouns: &'static [&'static str], cheapest: f64, dearest: f64) -> Category {
    Category { id, nouns, price: (cheapest, dearest) }
}

pub(super) const BRANDS: &[&str] = &[
    "Arvel",
    "Birkholm",
    "Calder",
    "Dunmore",
    "Elsted",
    "Fjordal",
    "Grannik",
    "Halden",
    "Isker",
    "Jorvik",
    "Kestrel",
    "Lindau",
    "Marlow",
    "Norra",
    "Oakhurst",
    "Pellar",
    "Quintane",
    "Rothay",
    "Solveig",
    "Tamsin",
    "Ulverston",
    "Vantor",
    "Westray",
    "Yarrow",
];

pub(super) const DEPARTMENTS: &[Department] = &[
    Department {
        id: "kitchen",
        qualities: &["Enamel", "Cast-Iron", "Copper", "Steel", "Ceramic", "Oak", "Matt Black", "Everyday"],
        categories: &[
            category("kettles", &["Kettle", "Gooseneck Kettle", "Travel Kettle"], 19.0, 129.0),
            category("coffee", &["Pour-Over Set", "Coffee Grinder", "Moka Pot"], 15.0, 189.0),
            category("cookware", &["Frying Pan", "Saucepan", "Casserole"], 22.0, 210.0),
            category("knives", &["Chef's Knife", "Bread Knife", "Knife Block"], 18.0, 240.0),
            category("baking", &["Loaf Tin", "Mixing Bowl", "Rolling Pin"], 8.0, 64.0),
        ],
    },
    Department {
        id: "outdoor",
        qualities: &[
            "Ultralight",
            "Four-Season",
            "Trail",
            "Alpine",
            "Packable",
            "Storm",
            "Family",
            "Recycled",
        ],
        categories: &[
            category("tents", &["Tent", "Bivvy", "Tarp"], 59.0, 549.0),
            category("backpacks", &["Daypack", "Trekking Pack", "Roll-Top Pack"], 35.0, 260.0),
            category("sleeping-bags", &["Sleeping Bag", "Sleeping Mat", "Quilt"], 39.0, 390.0),
            category("camp-stoves", &["Gas Stove", "Camp Cook Set", "Windshield"], 14.0, 159.0),
            category("headlamps", &["Headlamp", "Lantern", "Trail Torch"], 12.0, 98.0),
        ],
    },
    Department {
        id: "cycling",
        qualities: &["Road", "Gravel", "Commuter", "Aero", "Winter", "Reflective", "Carbon", "Touring"],
        categories: &[
            category("helmets", &["Helmet", "Urban Helmet", "Kids' Helmet"], 29.0, 219.0),
            category("bike-lights", &["Front Light", "Rear Light", "Light Set"], 14.0, 120.0),
            category("bike-tools", &["Multitool", "Floor Pump", "Repair Stand"], 11.0, 190.0),
            category("panniers", &["Pannier", "Handlebar Bag", "Frame Bag"], 25.0, 170.0),
            category("jerseys", &["Jersey", "Wind Vest", "Bib Shorts"], 32.0, 165.0),
        ],
    },
    Department {
        id: "home",
        qualities: &["Linen", "Wool", "Walnut", "Rattan", "Stoneware", "Brass", "Nordic", "Hand-Made"],
        categories: &[
            category("lamps", &["Table Lamp", "Floor Lamp", "Pendant"], 29.0, 340.0),
            category("bedding", &["Duvet Cover", "Pillowcase Pair", "Fitted Sheet"], 24.0, 190.0),
            category("rugs", &["Rug", "Runner", "Door Mat"], 19.0, 420.0),
            category("vases", &["Vase", "Planter", "Bowl"], 12.0, 110.0),
            category("throws", &["Throw", "Cushion", "Blanket"], 18.0, 150.0),
        ],
    },
    Department {
        id: "audio",
        qualities: &[
            "Wireless",
            "Studio",
            "Portable",
            "Compact",
            "Noise-Cancelling",
            "Hi-Fi",
            "Vintage",
            "Waterproof",
        ],
        categories: &[
            category("headphones", &["Headphones", "Earbuds", "On-Ear Headphones"], 29.0, 399.0),
            category("speakers", &["Speaker", "Soundbar", "Bookshelf Pair"], 35.0, 590.0),
            category("turntables", &["Turntable", "Phono Preamp", "Record Brush"], 18.0, 480.0),
            category("microphones", &["Microphone", "Boom Arm", "Audio Interface"], 24.0, 320.0),
            category("radios", &["Radio", "Clock Radio", "Internet Radio"], 25.0, 210.0),
        ],
    },
    Department {
        id: "garden",
        qualities: &[
            "Ash-Handled",
            "Galvanised",
            "Terracotta",
            "Solar",
            "Forged",
            "Heirloom",
            "Willow",
            "Compact",
        ],
        categories: &[
            category("hand-tools", &["Trowel", "Secateurs", "Garden Fork"], 9.0, 74.0),
            category("pots", &["Plant Pot", "Hanging Basket", "Seed Tray"], 6.0, 88.0),
            category("watering", &["Watering Can", "Hose Reel", "Sprinkler"], 11.0, 130.0),
            category("seeds", &["Tomato Seeds", "Wildflower Mix", "Herb Collection"], 3.0, 24.0),
            category("garden-lights", &["Path Light", "String Lights", "Fire Bowl"], 15.0, 179.0),
        ],
    },
    Department {
        id: "toys",
        qualities: &["Wooden", "Magnetic", "Giant", "Glow", "Pocket", "Rainbow", "Classic", "Starter"],
        categories: &[
            category("building-sets", &["Building Blocks", "Marble Run", "Bridge Kit"], 14.0, 120.0),
            category("puzzles", &["Jigsaw", "Cube Puzzle", "Floor Puzzle"], 9.0, 49.0),
            category("board-games", &["Board Game", "Card Game", "Strategy Game"], 11.0, 75.0),
            category("soft-toys", &["Bear", "Fox", "Whale"], 10.0, 55.0),
            category("art-sets", &["Paint Set", "Crayon Box", "Clay Kit"], 8.0, 60.0),
        ],
    },
    Department {
        id: "office",
        qualities: &["Slim", "Ergonomic", "Recycled", "Leather", "Dotted", "Adjustable", "Quiet", "Magnetic"],
        categories: &[
            category("notebooks", &["Notebook", "Planner", "Sketchbook"], 5.0, 39.0),
            category("pens", &["Fountain Pen", "Gel Pen Set", "Brush Pens"], 4.0, 145.0),
            category("desk-lamps", &["Desk Lamp", "Monitor Light", "Clip Lamp"], 22.0, 160.0),
            category("keyboards", &["Keyboard", "Mouse", "Wrist Rest"], 17.0, 220.0),
            category("chairs", &["Desk Chair", "Stool", "Footrest"], 35.0, 620.0),
        ],
    },
];
