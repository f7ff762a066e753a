#[allow(non_upper_case_globals, deprecated)]
const _: () = {
    use ::sessions::__private as __s;
    use __s::ByType as _;
    const __value_plan: __s::Value<String> = __s::value::<String>();
    const __value_limit: __s::Value<u32> = __s::value::<u32>();
    const __was_cart_total_1: __s::Value<String> = __s::value::<String>();
    const __value_cart_total: __s::Value<Cents> = __s::value::<Cents>();
    const __value_appearance: __s::Value<Appearance> = __s::value::<Appearance>();
    const __value_seen_at: __s::Value<u64> = __s::value::<u64>();
    const __past_theme: __s::Value<String> = __s::value::<String>();
    const __past_font_size: __s::Value<u8> = __s::value::<u8>();
    trait __Defaults {
        fn default_limit() -> u32;
        fn past_font_size() -> u8;
    }
    impl __Defaults for UserSession {
        fn default_limit() -> u32 {
            10
        }
        fn past_font_size() -> u8 {
            12
        }
    }
    /** Session `user`, schema version 3, reads records of version 1 and later, still writes version 2.

 - Version 2: `limit` is added.
 - Version 3: `appearance` is added, `cart_total` changes its type, `theme` is removed, `font_size` is removed.*/
    #[automatically_derived]
    impl __s::SessionData for UserSession {
        type Owner = __s::NoOwner;
        const SCHEMA: &'static __s::Schema = &__s::Schema::of(
            "user",
            3u16,
            2u16,
            &[
                __s::SchemaVersion::of(
                    1u16,
                    1u16,
                    &[
                        __s::SchemaField::of("plan", "String"),
                        __s::SchemaField::of("cart_total", "String"),
                        __s::SchemaField::of("seen_at", "u64"),
                        __s::SchemaField::of("theme", "String"),
                        __s::SchemaField::of("font_size", "u8"),
                    ],
                ),
                __s::SchemaVersion::of(
                    2u16,
                    2u16,
                    &[
                        __s::SchemaField::of("plan", "String"),
                        __s::SchemaField::of("limit", "u32"),
                        __s::SchemaField::of("cart_total", "String"),
                        __s::SchemaField::of("seen_at", "u64"),
                        __s::SchemaField::of("theme", "String"),
                        __s::SchemaField::of("font_size", "u8"),
                    ],
                ),
                __s::SchemaVersion::of(
                    3u16,
                    3u16,
                    &[
                        __s::SchemaField::of("plan", "String"),
                        __s::SchemaField::of("limit", "u32"),
                        __s::SchemaField::of("cart_total", "Cents"),
                        __s::SchemaField::of("appearance", "Appearance"),
                        __s::SchemaField::of("seen_at", "u64"),
                    ],
                ),
            ],
        );
        const TABLE: &'static __s::Table = &__s::Table {
            schema: <Self as __s::SessionData>::SCHEMA,
            format: "user/3",
            oldest: 1u16,
            fields: &[
                __s::Field {
                    name: "plan",
                    key: "plan",
                    group: ::core::option::Option::Some(1usize),
                    policy: __s::by_type(<__s::Probe<String>>::KIND),
                    order: __s::order(<__s::Probe<String>>::KIND),
                    kind: <__s::Probe<String>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_plan, __bytes, __out),
                    elements: <__s::Probe<String>>::ELEMENTS,
                },
                __s::Field {
                    name: "limit",
                    key: "limit",
                    group: ::core::option::Option::Some(1usize),
                    policy: __s::by_type(<__s::Probe<u32>>::KIND),
                    order: __s::order(<__s::Probe<u32>>::KIND),
                    kind: <__s::Probe<u32>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_limit, __bytes, __out),
                    elements: <__s::Probe<u32>>::ELEMENTS,
                },
                __s::Field {
                    name: "cart_total",
                    key: "cart_total",
                    group: ::core::option::Option::None,
                    policy: __s::by_type(<__s::Probe<Cents>>::KIND),
                    order: __s::order(<__s::Probe<Cents>>::KIND),
                    kind: <__s::Probe<Cents>>::KIND,
                    again: |__bytes, __out| __s::again(
                        &__value_cart_total,
                        __bytes,
                        __out,
                    ),
                    elements: <__s::Probe<Cents>>::ELEMENTS,
                },
                __s::Field {
                    name: "appearance",
                    key: "appearance",
                    group: ::core::option::Option::None,
                    policy: __s::by_type(<__s::Probe<Appearance>>::KIND),
                    order: __s::order(<__s::Probe<Appearance>>::KIND),
                    kind: <__s::Probe<Appearance>>::KIND,
                    again: |__bytes, __out| __s::again(
                        &__value_appearance,
                        __bytes,
                        __out,
                    ),
                    elements: <__s::Probe<Appearance>>::ELEMENTS,
                },
                __s::Field {
                    name: "seen_at",
                    key: "seen_at",
                    group: ::core::option::Option::None,
                    policy: __s::Policy::Merge(|__three, __out| __s::merge_with(
                        &__value_seen_at,
                        __three,
                        __out,
                        newest,
                    )),
                    order: __s::order(<__s::Probe<u64>>::KIND),
                    kind: <__s::Probe<u64>>::KIND,
                    again: |__bytes, __out| __s::again(&__value_seen_at, __bytes, __out),
                    elements: <__s::Probe<u64>>::ELEMENTS,
                },
            ],
            groups: &[
                __s::Group {
                    name: "owner",
                    policy: __s::Policy::Conflict,
                },
                __s::Group {
                    name: "plan",
                    policy: __s::Policy::Mine,
                },
            ],
            owner: ::core::option::Option::None,
            retired: &["font_size", "theme"],
            migrate: |__reader| {
                <Self as __s::SessionData>::encode(
                    &<Self as __s::SessionData>::of_reader(__reader)?,
                )
            },
            downgrade: ::core::option::Option::Some(|__older| {
                let __version = __older.version();
                __older.copy(0usize, "plan");
                __older.copy(1usize, "limit");
                if __version >= 3u16 {
                    __older.copy(2usize, "cart_total");
                } else {
                    __older
                        .put(
                            &__was_cart_total_1,
                            "cart_total",
                            "cart_total",
                            &{
                                let __convert: fn(Cents) -> _ = Cents::print;
                                __s::Returned(
                                        __convert(__older.get(&__value_cart_total, 2usize)?),
                                    )
                                    .made::<String>()
                            },
                        )?;
                }
                if __version >= 3u16 {
                    __older.copy(3usize, "appearance");
                } else {
                    let __source_0 = {
                        let __convert: fn(Appearance) -> _ = Appearance::into_theme;
                        __s::Returned(
                                __convert(__older.get(&__value_appearance, 3usize)?),
                            )
                            .made::<String>()
                    };
                    if __version < 3u16 {
                        __older.put(&__past_theme, "theme", "theme", &__source_0)?;
                    }
                }
                __older.copy(4usize, "seen_at");
                if __version < 3u16 {
                    __older
                        .put(
                            &__past_font_size,
                            "font_size",
                            "font_size",
                            &<Self as __Defaults>::past_font_size(),
                        )?;
                }
                ::core::result::Result::Ok(())
            }),
        };
        fn fresh() -> Self {
            Self {
                plan: <String as __s::DefaultValue>::default_value(),
                limit: <Self as __Defaults>::default_limit(),
                cart_total: <Cents as __s::DefaultValue>::default_value(),
                appearance: <Appearance as __s::OnlyDefault>::only_default(),
                seen_at: <u64 as __s::DefaultValue>::default_value(),
            }
        }
        fn owner(&self) -> ::core::option::Option<&Self::Owner> {
            ::core::option::Option::None
        }
        fn read(
            __reader: &mut __s::Reader<'_>,
        ) -> ::core::result::Result<Self, __s::Failed> {
            let __version = __reader.version();
            ::core::result::Result::Ok(Self {
                plan: __reader.get(&__value_plan, "plan", "plan")?,
                limit: if __version >= 2u16 {
                    __reader.get(&__value_limit, "limit", "limit")?
                } else if let ::core::option::Option::Some(__early) = __reader
                    .early(1u16, &__value_limit, "limit", "limit")?
                {
                    __early
                } else {
                    <Self as __Defaults>::default_limit()
                },
                cart_total: if __version >= 3u16 {
                    __reader.get(&__value_cart_total, "cart_total", "cart_total")?
                } else {
                    {
                        let __convert: fn(String) -> _ = Cents::parse;
                        let __result = __s::Returned(
                                __convert(
                                    __reader
                                        .get(&__was_cart_total_1, "cart_total", "cart_total")?,
                                ),
                            )
                            .tried::<Cents>();
                        __reader.converted("cart_total", __result)?
                    }
                },
                appearance: if __version >= 3u16 {
                    __reader.get(&__value_appearance, "appearance", "appearance")?
                } else {
                    {
                        let __convert: fn(String) -> _ = Appearance::new;
                        __s::Returned(
                                __convert(__reader.get(&__past_theme, "theme", "theme")?),
                            )
                            .made::<Appearance>()
                    }
                },
                seen_at: __reader.get(&__value_seen_at, "seen_at", "seen_at")?,
            })
        }
        fn encode(&self) -> ::core::result::Result<__s::Encoded, __s::Error> {
            let mut __writer = __s::Writer::new(<Self as __s::SessionData>::TABLE);
            __writer.put(&__value_plan, &self.plan)?;
            __writer.put(&__value_limit, &self.limit)?;
            __writer.put(&__value_cart_total, &self.cart_total)?;
            __writer.put(&__value_appearance, &self.appearance)?;
            __writer.put(&__value_seen_at, &self.seen_at)?;
            ::core::result::Result::Ok(__writer.finish())
        }
    }
};
