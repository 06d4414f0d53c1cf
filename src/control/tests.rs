//! The table of routes: what is read of a request, and that the document says the same.

use hyper::Method;

use super::openapi::{document, query};
use super::routes::{Asked, LINES, MAX_LINES, ROUTES, encoded, read};
use crate::daemon::Request;
use crate::name::TaskName;

fn name(text: &str) -> TaskName {
    TaskName::new(text).unwrap()
}

fn check(method: Method, path: &str, expected: Result<Asked, &str>) {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    match (read(&method, path, query, b"body"), expected) {
        (Ok(asked), Ok(expected)) => assert_eq!(asked, expected, "{path}"),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{path}: {error}"),
        (found, expected) => panic!("{path}: {found:?} instead of {expected:?}"),
    }
}

#[test]
fn a_request_is_read_by_its_method_path_and_parameters() {
    let daemon = |request| Ok(Asked::Daemon(request));
    check(Method::GET, "/v1/status", daemon(Request::Status));
    check(Method::GET, "/v1/tasks/a%20%C3%A4", daemon(Request::TaskStatus(name("a \u{e4}"))));
    check(Method::POST, "/v1/reload?dry_run", daemon(Request::Reload { dry_run: true }));
    check(Method::POST, "/v1/reload?dry_run=false", daemon(Request::Reload { dry_run: false }));
    let migrate = Request::Migrate { task: name("A"), external: true };
    check(Method::POST, "/v1/tasks/A/migrate?to=external", daemon(migrate));
    let state = Request::SetState { task: name("A"), state: "body".to_owned() };
    check(Method::PUT, "/v1/tasks/A/state", daemon(state));
    let events = Request::Events { after: 7, task: Some(name("A")) };
    check(Method::GET, "/v1/events?after=7&task=A", daemon(events));
    check(Method::GET, "/v1/log", Ok(Asked::Log { task: None, lines: LINES, follow: false }));
    let most = Asked::Log { task: Some(name("A")), lines: MAX_LINES, follow: true };
    check(Method::GET, "/v1/tasks/A/log?lines=99999999&follow=true", Ok(most));
}

#[test]
fn what_is_asked_wrongly_is_refused_with_what_is_right() {
    check(Method::GET, "/v2/status", Err("openapi.json lists"));
    check(Method::DELETE, "/v1/tasks/A/state", Err("GET or PUT does"));
    check(Method::GET, "/v1/tasks/", Err("may not be empty"));
    check(Method::GET, "/v1/tasks/.hidden", Err("begins with a dot"));
    check(Method::GET, "/v1/tasks/a%2Fb", Err("no name may hold"));
    check(Method::GET, "/v1/tasks/%ff", Err("percent sign"));
    check(Method::POST, "/v1/reload?dryrun", Err("\"dryrun\" is no parameter here; known are: dry_run"));
    check(Method::POST, "/v1/reload?dry_run=perhaps", Err("true or false"));
    check(Method::POST, "/v1/tasks/A/migrate", Err("?to=internal or ?to=external"));
    check(Method::GET, "/v1/events?after=-1", Err("after is no number"));
}

#[test]
fn a_name_comes_through_a_path_as_it_is() {
    for text in ["A", "a b", "\u{e4}?&=#%", "x+y", "P.1", "a..b"] {
        let path = format!("/v1/tasks/{}", encoded(text));
        check(Method::GET, &path, Ok(Asked::Daemon(Request::TaskStatus(name(text)))));
    }
}

#[test]
fn the_document_has_every_route_with_its_parameters_and_all_types_that_it_names() {
    let text = document().to_json().unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for route in ROUTES {
        let operation = &value["paths"][route.path][route.method.to_lowercase()];
        let named = operation["parameters"].as_array().map_or(0, Vec::len);
        let expected = query(route.what).len() + usize::from(route.path.contains("{task}"));
        assert_eq!(named, expected, "{} {}: {operation}", route.method, route.path);
    }
    let refs = text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap());
    for name in refs {
        assert!(value["components"]["schemas"][name].is_object(), "{name} is named and not there");
    }
}
