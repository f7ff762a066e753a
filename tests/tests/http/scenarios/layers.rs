//! Layers in each other: of one store and of two, in any order, with a middleware between.

use http::StatusCode;
use sessions::{CookieConfig, MemoryProvider, SameSite, Store};

use crate::app::{Layers, Types};
use crate::site::{Framework, Site};

/// Which of two stores: `Lax` is the one around the app, `Strict` another.
type Place = Option<(&'static str, Types)>;

pub(crate) async fn the_same_layer_inside_itself_adds_nothing(framework: Framework) {
    for types in [Types::All, Types::Visitor] {
        let mut site = Site::arranged(framework, |app| {
            app.layers.inner = Some((app.store.clone(), types));
        })
        .await;
        // The middleware between and the handler share one session, which is saved once.
        let answer = site.browser.get_saying("/visit", &[("between", "visitor")]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "11"));
        assert_eq!(answer.set_cookies().len(), 1, "{answer:?}");
        assert_eq!(site.watch.take().save, 1);
        assert_eq!(site.browser.post("/login", "ada").await.set_cookies().len(), 1);
        assert_eq!(site.browser.get("/show").await.body, "ada 11 - ");
        let both = site.browser.get_saying("/visit", &[("between", "theme")]).await;
        assert_eq!((both.body.as_str(), both.set_cookies().len()), ("12", 1));
        assert_eq!(site.browser.get("/both").await.body, "12 true");
        site.browser.post("/logout", "").await;
        assert_eq!(site.browser.get("/show").await.body, "- 0 - ");
    }
}

/// Every two layers, each of one of two stores and of all types or of one; every type in the
/// handler, and every type or none in the middleware between.
pub(crate) async fn of_two_stores_each_serves_its_types_or_says_that_they_meet(
    framework: Framework,
) {
    const TYPES: [Types; 3] = [Types::All, Types::Visitor, Types::Theme];
    let mut served = 0;
    for outer in TYPES {
        for inner in ["Lax", "Strict"].into_iter().flat_map(|it| TYPES.map(|types| (it, types))) {
            let layers = [Some(("Lax", outer)), Some(inner)];
            let site = site(framework, layers).await;
            for (path, handled) in [("/visit", Types::Visitor), ("/dark", Types::Theme)] {
                for between in [None, Some(Types::Visitor), Some(Types::Theme)] {
                    let case = format!("{layers:?}, {path}, {between:?}");
                    let mut browser = sessions_tests::browser::Browser::new(site.address);
                    let named = between.map(|types| match types {
                        Types::Theme => ("between", "theme"),
                        _ => ("between", "visitor"),
                    });
                    let answer = browser.get_saying(path, named.as_slice()).await;
                    let before = between.map(|types| (types, store_of(types, &layers[..1])));
                    let store = store_of(handled, &layers);
                    let expected = match (before, store) {
                        (Some((_, None)), _) | (_, None) => None,
                        (Some((types, Some(before))), Some(store)) if types == handled => {
                            (before == store).then(|| vec![(handled, store)])
                        }
                        (Some((types, Some(before))), Some(store)) => {
                            Some(vec![(types, before), (handled, store)])
                        }
                        (None, Some(store)) => Some(vec![(handled, store)]),
                    };
                    let Some(mut expected) = expected else {
                        let status = answer.status;
                        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{case}");
                        // It says what to write.
                        assert!(answer.body.contains("only"), "{case}: {answer:?}");
                        // What the middleware has changed is discarded with it.
                        assert_eq!(answer.set_cookies(), [""; 0], "{case}");
                        continue;
                    };
                    served += 1;
                    assert_eq!(answer.status, StatusCode::OK, "{case}: {answer:?}");
                    let mut found: Vec<_> = answer
                        .set_cookies()
                        .iter()
                        .map(|cookie| {
                            let is_theme = cookie.starts_with("__Host-theme=");
                            let types = if is_theme { Types::Theme } else { Types::Visitor };
                            let strict = cookie.contains("SameSite=Strict");
                            (types, if strict { "Strict" } else { "Lax" })
                        })
                        .collect();
                    let order = |(types, _): &(Types, &str)| *types == Types::Theme;
                    found.sort_by_key(order);
                    expected.sort_by_key(order);
                    assert_eq!(found, expected, "{case}");
                    // The next request finds what this one has saved.
                    let again = browser.get_saying(path, named.as_slice()).await;
                    assert_eq!(again.set_cookies(), [""; 0], "{case}");
                    let visits = match (path, between) {
                        ("/visit", Some(Types::Visitor)) => "22",
                        ("/visit", _) => "2",
                        _ => "dark",
                    };
                    assert_eq!(again.body, visits, "{case}");
                }
            }
        }
    }
    assert!(served > 50, "{served}");
}

/// The store that serves a type behind these layers.
fn store_of(types: Types, layers: &[Place]) -> Option<&'static str> {
    let of = |wanted: Types| {
        let stores = layers.iter().flatten().filter(|(_, served)| *served == wanted);
        let mut stores: Vec<_> = stores.map(|(store, _)| *store).collect();
        stores.dedup();
        stores
    };
    let stores = match &of(types)[..] {
        [] => of(Types::All),
        named => named.to_vec(),
    };
    match stores[..] {
        [store] => Some(store),
        _ => None,
    }
}

async fn site(framework: Framework, [outer, inner]: [Place; 2]) -> Site {
    Site::arranged(framework, |app| {
        let strict = CookieConfig::new().same_site(SameSite::Strict);
        let strict = Store::builder(MemoryProvider::new()).cookie(strict).build().unwrap();
        let place = |place: Place| {
            place.map(|(store, types)| match store {
                "Strict" => (strict.clone(), types),
                _ => (app.store.clone(), types),
            })
        };
        app.layers = Layers { outer: place(outer), inner: place(inner) };
    })
    .await
}

pub(crate) async fn without_a_layer_the_answer_says_what_to_write(framework: Framework) {
    let written = match framework {
        Framework::Actix => "SessionMiddleware::new(store)",
        Framework::Axum | Framework::Plain => "SessionLayer::new(store)",
    };
    let forgotten = Site::arranged(framework, |app| app.layers.outer = None).await;
    let wrong = site(framework, [None, Some(("Lax", Types::All))]).await;
    for (mut site, header) in [(forgotten, &[][..]), (wrong, &[("between", "visitor")])] {
        let answer = site.browser.get_saying("/show", header).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
        assert!(answer.body.contains(written), "{answer:?}");
        assert!(answer.body.contains("last"), "it tells of the order: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}
