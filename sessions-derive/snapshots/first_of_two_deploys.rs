#[session(name = "user", version = 3, write = 2, compat = 2)]
#[session(removed(theme: String, before = 3), removed(font_size: u8, before = 3, default = 12))]
#[session(group("plan", merge = mine))]
struct UserSession {
    #[session(group = "plan")]
    plan: String,
    #[session(since = 2, group = "plan", default = 10)]
    limit: u32,
    #[session(was(before = 3, ty = String, try_with = Cents::parse, back = Cents::print))]
    cart_total: Cents,
    #[session(since = 3, from(theme), with = Appearance::new, back = Appearance::into_theme)]
    appearance: Appearance,
    #[session(merge(with = newest))]
    seen_at: u64,
}
