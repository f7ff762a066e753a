#[session(name = "user", version = 3)]
#[session(removed(utm_source: Option<String>, before = 2))]
#[session(removed(theme: String, before = 3), removed(font_size: u8, before = 3))]
pub struct UserSession {
    #[session(owner)]
    user_id: Option<u64>,
    #[session(group = "owner")]
    roles: Vec<Role>,
    #[session(key = "login")]
    username: String,
    #[session(since = 2, default = String::from("en"))]
    locale: String,
    #[session(was(before = 3, ty = String, try_with = Cents::parse))]
    cart_total: Cents,
    #[session(was(before = 2, name = "hits"), merge = add)]
    visits: u64,
    #[session(since = 3, from(theme, font_size), with = Appearance::from_parts)]
    appearance: Appearance,
    #[session(skip)]
    cache: Option<Rendered>,
}
