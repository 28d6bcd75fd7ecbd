use std::future::pending;

use super::*;

/// For how long this process has been awake.
const LONG: Duration = Duration::from_secs(3600);

/// Connections that wait for ever, each in a stage entered at a second.
async fn waiting(limit: usize, stages: &[(Stage, u64)]) -> Connections {
    let metrics = ConnectionMetrics::default();
    let bounds = Bounds {
        connections: limit,
        patience: Duration::from_secs(1),
    };
    let mut connections = Connections::new(bounds, metrics);
    let activities: Vec<Activity> = stages.iter().map(|_| Activity::begin()).collect();
    for second in 0..=10 {
        if second > 0 {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for ((stage, since), activity) in stages.iter().zip(&activities) {
            if *since == second {
                activity.enter(*stage);
            }
        }
    }
    for activity in activities {
        connections.begin(activity, pending());
    }
    connections
}

fn left(connections: &Connections) -> Vec<Stage> {
    let open = connections.open.values();
    open.map(|open| open.activity.stage()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_one_that_waited_longest_makes_room() {
    use Stage::{Handshake, Header, Multiplexed, Opening, Preface, Request, Resting};
    // (case, who is open since which second, who makes room at second 10, whether it is asked)
    for (name, open, leaves, is_asked) in [
        ("the older", [(Header, 5), (Preface, 4)], 1, false),
        ("never used", [(Header, 5), (Opening, 4)], 1, true),
        (
            "silent, not resting",
            [(Resting, 0), (Handshake, 8)],
            1,
            false,
        ),
        ("half a body", [(Request, 2), (Handshake, 3)], 0, false),
        ("a second", [(Resting, 9), (Handshake, 9)], 1, false),
        ("many at once", [(Multiplexed, 1), (Request, 7)], 1, false),
        (
            "the older at rest",
            [(Resting, 1), (Multiplexed, 2)],
            0,
            true,
        ),
        (
            "one before the other",
            [(Resting, 3), (Multiplexed, 2)],
            1,
            true,
        ),
    ] {
        let mut connections = waiting(2, &open).await;
        if is_asked {
            assert!(
                !connections.make_room(Duration::ZERO, LONG),
                "{name}: it has to end first"
            );
            assert_eq!(left(&connections).len(), 2, "{name}");
            tokio::time::advance(TO_LEAVE).await;
        }
        assert!(connections.make_room(Duration::ZERO, LONG), "{name}");
        assert!(!*connections.crowded.borrow(), "{name}");
        assert_eq!(left(&connections), [open[1 - leaves].0], "{name}");
        assert_eq!(connections.metrics.evicted.get(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_rests_is_left_alone_while_an_answer_will_make_room() {
    use Stage::{Handshake, Multiplexed, Request, Resting};
    // (who is open besides, since which second; for how many milliseconds somebody has waited; whether
    // the one at rest is asked to end)
    for (other, waited, is_asked) in [
        ((Request, 10), 0, false),
        ((Request, 10), 999, false),
        ((Request, 10), 1000, true),
        ((Handshake, 10), 0, false),
        // It works on nothing.
        ((Multiplexed, 10), 0, true),
        ((Resting, 10), 0, true),
    ] {
        let mut connections = waiting(2, &[(Resting, 5), other]).await;
        assert!(!connections.make_room(Duration::from_millis(waited), LONG));
        let asked = connections.open.values().any(|open| {
            open.activity.is_dismissed() && open.activity.waiting() > Duration::from_secs(4)
        });
        assert_eq!(asked, is_asked, "{other:?} {waited}");
        assert_eq!(
            *connections.crowded.borrow(),
            !is_asked,
            "{other:?} {waited}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_has_to_go_too_soon() {
    use Stage::{Opening, Request, Resting};
    for open in [
        [(Request, 10), (Resting, 10)],
        [(Opening, 10), (Resting, 9)],
    ] {
        let mut connections = waiting(2, &open).await;
        assert!(!connections.make_room(Duration::ZERO, LONG), "{open:?}");
        assert!(*connections.crowded.borrow(), "{open:?}");
        assert_eq!(connections.metrics.evicted.get(), 0, "{open:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_never_used_goes_sooner_while_nobody_is_at_work() {
    use Stage::{Handshake, Opening, Request, Resting};
    // (who is open besides, for how many milliseconds both are, and somebody waits; whether the one that
    // was never used is asked to end)
    for (other, open, waited, is_asked) in [
        (Resting, 249, 0, false),
        (Resting, 250, 0, true),
        (Request, 250, 0, false),
        (Handshake, 999, 1000, false),
    ] {
        let mut connections = waiting(2, &[(Opening, 10), (other, 10)]).await;
        tokio::time::advance(Duration::from_millis(open)).await;
        assert!(!connections.make_room(Duration::from_millis(waited), LONG));
        let asked = connections
            .open
            .values()
            .find(|open| open.dismissed.is_some());
        let asked = asked.map(|open| open.activity.stage());
        assert_eq!(asked, is_asked.then_some(Opening), "{other:?} {open}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_was_silent_while_nothing_ran() {
    for (awake, makes_room) in [(0, false), (999, false), (1000, true)] {
        let awake = Duration::from_millis(awake);
        let mut connections = waiting(1, &[(Stage::Handshake, 0)]).await;
        assert_eq!(connections.make_room(Duration::ZERO, awake), makes_room);
    }
    let mut connections = waiting(1, &[(Stage::Resting, 0)]).await;
    assert!(!connections.make_room(Duration::ZERO, LONG), "it is asked");
    tokio::time::advance(Duration::from_secs(1)).await;
    for (awake, makes_room) in [(Duration::ZERO, false), (TO_LEAVE, true)] {
        assert_eq!(connections.make_room(Duration::ZERO, awake), makes_room);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_asked_to_end_and_gets_a_request_is_left_alone() {
    let mut connections = waiting(2, &[(Stage::Resting, 0), (Stage::Resting, 1)]).await;
    assert!(!connections.make_room(Duration::ZERO, LONG));
    let asked = connections
        .open
        .values()
        .find(|open| open.dismissed.is_some());
    let asked = asked.expect("the older").activity.clone();
    asked.dismissed().await;
    asked.request_began();
    tokio::time::advance(TO_LEAVE).await;
    assert!(!connections.make_room(Duration::ZERO, LONG));
    assert_eq!(connections.metrics.evicted.get(), 1, "its answer may do");
    let waited = connections.bounds.patience;
    assert!(!connections.make_room(waited, LONG), "the other is asked");
    assert_eq!(left(&connections).len(), 2);
    tokio::time::advance(TO_LEAVE).await;
    assert!(connections.make_room(waited, LONG));
    assert_eq!(left(&connections), [Stage::Request]);
    assert_eq!(connections.metrics.evicted.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn below_the_limit_nobody_has_to_go() {
    let mut connections = waiting(3, &[(Stage::Opening, 0), (Stage::Resting, 0)]).await;
    assert!(connections.make_room(Duration::ZERO, LONG));
    assert!(!*connections.crowded.borrow());
    assert_eq!(left(&connections).len(), 2);
    assert_eq!(connections.metrics.open.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_what_stalls_only_what_holds_a_request_is_ended() {
    let mut connections = waiting(9, &[(Stage::Resting, 0), (Stage::Multiplexed, 2)]).await;
    connections.end_a_stalled_request(LONG);
    assert_eq!(left(&connections).len(), 2, "nobody holds one");
    let mut open = connections.open.values().map(|open| &open.activity);
    let multiplexed = open.find(|activity| activity.stage() == Stage::Multiplexed);
    let multiplexed = multiplexed.cloned();
    multiplexed.expect("as begun").request_began();
    connections.end_a_stalled_request(LONG);
    assert_eq!(left(&connections).len(), 2, "it has just begun");
    tokio::time::advance(Duration::from_secs(1)).await;
    connections.end_a_stalled_request(LONG);
    assert_eq!(left(&connections), [Stage::Resting]);
}

#[tokio::test(start_paused = true)]
async fn what_is_open_and_silent_rests_after_a_while() {
    for (open, rest) in [
        ([(Stage::Resting, 10), (Stage::Opening, 9)], true),
        ([(Stage::Resting, 0), (Stage::Opening, 10)], false),
        ([(Stage::Resting, 0), (Stage::Request, 0)], false),
        ([(Stage::Resting, 0), (Stage::Header, 0)], false),
        ([(Stage::Resting, 0), (Stage::Handshake, 0)], false),
        ([(Stage::Resting, 0), (Stage::Multiplexed, 0)], false),
    ] {
        let connections = waiting(9, &open).await;
        assert_eq!(connections.all_rest(), rest, "{open:?}");
    }
}
