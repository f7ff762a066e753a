//! What sessions do to HTTP, over real sockets and with a client that keeps cookies as a browser
//! does: one app and one list of scenarios, run on axum, on actix-web and on a plain `tower` service.

mod commits;
mod cookies;
mod devices;
mod errors;
mod identity;
mod layers;
mod owners;
mod rollback;
mod safe;
mod settings;
mod streams;
mod transport;

/// Each scenario as a test of each framework.
macro_rules! suite {
    ($($file:ident::$scenario:ident,)*) => {
        suite!(@on axum, Axum, $($file::$scenario,)*);
        suite!(@on actix_web, Actix, $($file::$scenario,)*);
        suite!(@on plain_tower, Plain, $($file::$scenario,)*);
    };
    (@on $module:ident, $framework:ident, $($file:ident::$scenario:ident,)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$file::$scenario(crate::site::Framework::$framework).await;
                }
            )*
        }
    };
}

suite! {
    cookies::a_session_survives_from_request_to_request,
    cookies::two_session_types_have_their_own_cookies,
    cookies::a_forged_cookie_is_a_fresh_anonymous_session,
    cookies::of_several_cookies_the_first_that_opens_counts,
    cookies::a_cookie_in_quotes_is_read,
    cookies::remember_keeps_a_session_beyond_the_idle_timeout,
    cookies::a_response_with_a_cookie_is_private,
    cookies::no_shared_cache_keeps_a_session_cookie,
    cookies::a_response_that_was_read_for_varies_by_cookie,
    cookies::requests_on_one_connection_are_strangers,
    owners::login_gives_a_new_secret_and_the_old_cookie_is_dead,
    owners::a_login_that_was_sent_twice_logs_each_browser_in,
    owners::a_logout_with_a_cookie_from_before_a_login_clears_it_and_is_409,
    owners::logout_ends_the_session_and_clears_the_cookie,
    owners::everybodys_sessions_end_at_once,
    owners::a_session_that_cannot_be_read_can_be_ended,
    commits::a_session_that_is_not_extracted_costs_no_call,
    commits::an_optional_session_is_none_until_something_is_stored,
    commits::what_a_failed_response_changed_is_discarded,
    commits::changes_may_be_kept_on_success_only,
    commits::a_middleware_and_a_handler_share_the_session,
    commits::a_handle_in_a_streamed_body_saves_itself,
    commits::a_handle_that_outlives_its_request_is_not_saved,
    commits::a_panic_saves_nothing_and_the_server_goes_on,
    commits::a_commit_is_finished_when_the_client_leaves,
    devices::a_device_is_registered_and_proven,
    devices::an_unproven_request_changes_nothing_and_keeps_its_cookie,
    devices::a_link_of_another_site_is_followed_again,
    devices::the_answer_of_an_endpoint_is_completed_when_the_client_leaves,
    errors::a_store_that_is_down_is_503_and_keeps_the_cookie,
    errors::a_commit_that_fails_replaces_the_response,
    errors::a_conflict_is_409_and_the_first_change_stays,
    errors::a_failed_commit_keeps_the_cookies_of_the_others,
    errors::a_hook_answers_errors,
    errors::an_error_that_a_handler_answers_is_its_own,
    errors::an_error_keeps_the_headers_of_the_layers_inside,
    identity::a_page_asks_for_a_new_proof_and_the_visitor_comes_back,
    identity::a_proof_renews_and_a_request_from_before_changes_nothing,
    identity::whoever_acts_as_another_goes_back_without_a_login,
    identity::a_locked_session_asks_again,
    identity::the_list_of_devices_says_from_where,
    layers::the_same_layer_inside_itself_adds_nothing,
    layers::of_two_stores_each_serves_its_types_or_says_that_they_meet,
    layers::without_a_layer_the_answer_says_what_to_write,
    rollback::a_login_replaces_a_session_that_cannot_be_read,
    rollback::a_logout_ends_a_session_that_cannot_be_read,
    rollback::a_store_may_give_every_such_visitor_a_new_session,
    safe::a_head_request_commits_nothing,
    safe::a_prefetch_that_changes_a_session_is_refused,
    safe::a_hook_does_not_answer_a_prefetch,
    settings::a_type_has_times_and_a_cookie_of_its_own,
    settings::an_assurance_level_sets_times_and_cookies,
    settings::a_login_above_the_limit_is_409_and_ends_nothing,
    streams::a_session_is_read_and_saved_after_the_headers_have_gone,
    streams::what_needs_a_cookie_is_refused_after_the_headers_have_gone,
    transport::a_client_without_cookies_has_its_token_in_a_header,
    transport::a_client_that_lost_its_new_token_logs_in_again,
    transport::with_a_token_in_the_header_no_cookie_counts,
    transport::a_session_keeps_the_transport_that_it_began_with,
    transport::two_types_have_two_transports_in_one_request,
    transport::no_authorization_header_does_harm,
    transport::a_cookie_of_another_configuration_is_read_and_replaced,
    transport::a_cookie_that_a_subdomain_planted_does_not_count,
    transport::no_cache_keeps_a_token_in_a_header,
    transport::a_session_in_a_cookie_ends_and_one_in_the_header_begins,
    transport::the_host_of_a_request_chooses_the_domain_of_its_cookie,
    transport::a_partitioned_cookie_takes_the_place_of_one_that_is_not,
}
