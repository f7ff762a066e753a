//! What there is to buy.

/// Something to buy.
pub(crate) struct Product {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cents: u32,
    /// An SVG image.
    pub(crate) picture: &'static str,
}

/// All there is to buy.
pub(crate) const PRODUCTS: [Product; 6] = [
    Product {
        id: "sencha",
        name: "Sencha",
        about: "Green tea of the first harvest, steamed on the day it was picked",
        cents: 1_450,
        picture: include_str!("pictures/sencha.svg"),
    },
    Product {
        id: "assam",
        name: "Assam",
        about: "Malty black tea for mornings that do not want to begin",
        cents: 990,
        picture: include_str!("pictures/assam.svg"),
    },
    Product {
        id: "rooibos",
        name: "Rooibos",
        about: "Red and mild, without caffeine, good at night",
        cents: 750,
        picture: include_str!("pictures/rooibos.svg"),
    },
    Product {
        id: "kettle",
        name: "Iron kettle",
        about: "Cast iron, enamelled inside, keeps a litre hot for an hour",
        cents: 5_900,
        picture: include_str!("pictures/kettle.svg"),
    },
    Product {
        id: "cup",
        name: "Stoneware cup",
        about: "Thrown by hand: no two have the same glaze",
        cents: 1_800,
        picture: include_str!("pictures/cup.svg"),
    },
    Product {
        id: "whisk",
        name: "Bamboo whisk",
        about: "Eighty tines, cut from a single piece of bamboo",
        cents: 2_200,
        picture: include_str!("pictures/whisk.svg"),
    },
];

/// The product of this id.
pub(crate) fn product(id: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}
