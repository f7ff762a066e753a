//! What there is to buy, and who may log in.

/// Something to buy.
pub(crate) struct Product {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cents: u32,
    /// The colours of its picture.
    pub(crate) colours: (&'static str, &'static str),
}

/// All there is to buy.
pub(crate) const PRODUCTS: [Product; 6] = [
    Product {
        id: "sencha",
        name: "Sencha",
        about: "Green tea from the first harvest",
        cents: 1_450,
        colours: ("#a7c957", "#386641"),
    },
    Product {
        id: "assam",
        name: "Assam",
        about: "Malty black tea for the morning",
        cents: 990,
        colours: ("#e09f3e", "#9e2a2b"),
    },
    Product {
        id: "rooibos",
        name: "Rooibos",
        about: "Red, mild, and good at night",
        cents: 750,
        colours: ("#f4a261", "#bc4749"),
    },
    Product {
        id: "kettle",
        name: "Iron kettle",
        about: "Keeps a litre hot for an hour",
        cents: 5_900,
        colours: ("#8d99ae", "#2b2d42"),
    },
    Product {
        id: "cup",
        name: "Stoneware cup",
        about: "No two have the same glaze",
        cents: 1_800,
        colours: ("#cbc0d3", "#5e548e"),
    },
    Product {
        id: "whisk",
        name: "Bamboo whisk",
        about: "Eighty tines, cut by hand",
        cents: 2_200,
        colours: ("#f2e8cf", "#b08968"),
    },
];

/// The product of this id.
pub(crate) fn product(id: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}

/// The demo's accounts. A real shop keeps password hashes in its database.
pub(crate) const ACCOUNTS: [(&str, &str); 2] = [("ada", "lovelace"), ("grace", "hopper")];

/// Whether this is an account's password.
pub(crate) fn may_log_in(user: &str, password: &str) -> bool {
    ACCOUNTS.contains(&(user, password))
}
