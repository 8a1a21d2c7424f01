//! The order in which events are released, and the time of each release.

use proptest::prelude::*;

use super::*;
use crate::event::Message;

const LENGTH: Duration = Duration::from_millis(25);

fn event(remote: u16, location: &str, number: usize, timestamp: &str) -> Event {
    let text = format!(r#"{{"type":"x","timestamp":"{timestamp}","metadata":{number},"location":"{location}"}}"#);
    Event::decode(Message::from(text), RemoteId(remote), None).unwrap()
}

fn number(held: &Held) -> usize {
    match held {
        Held::Event(event) => event.metadata().unwrap().raw().parse().unwrap(),
        Held::Gap(gap) => usize::try_from(gap.dropped).unwrap(),
    }
}

fn at(milliseconds: i64) -> String {
    chrono::DateTime::from_timestamp_millis(1_800_000_000_000 + milliseconds).unwrap().to_rfc3339()
}

/// Pushes events given as (arrival in milliseconds, remote, timestamp). Returns the index of each event and the time of
/// its release, in the order of release.
fn run(length: Duration, events: &[(u64, u16, String)]) -> Vec<(usize, u64)> {
    let mut window = Window::new(length, false);
    let start = window.start;
    let mut released = Vec::new();
    let last = events.last().map_or(0, |event| event.0) + 100;
    for now in 0..=last {
        let moment = start + Duration::from_millis(now);
        for (index, (_, remote, timestamp)) in events.iter().enumerate().filter(|(_, event)| event.0 == now) {
            window.push_all([event(*remote, "none", index, timestamp)], Some(moment));
        }
        window.advance(moment);
        while let Some(held) = window.pop() {
            released.push((number(&held), now));
        }
    }
    assert!(window.count == 0 && window.drain().is_none());
    assert_eq!(window.tape_bytes(), 0);
    released
}

fn order(length: Duration, events: &[(u64, u16, String)]) -> Vec<usize> {
    run(length, events).into_iter().map(|released| released.0).collect()
}

#[test]
fn neighbours_change_places_back_and_a_lone_event_is_released_after_the_window() {
    let released = run(LENGTH, &[(0, 0, at(2)), (1, 0, at(1)), (2, 0, at(1)), (60, 0, at(60))]);
    assert_eq!(released.iter().map(|released| released.0).collect::<Vec<_>>(), [1, 2, 0, 3]);
    assert!(released[2].1 <= 25 && released[3].1 <= 85, "{released:?}");
}

#[test]
fn timestamps_that_run_faster_than_our_clock_release_earlier_events() {
    let events: Vec<_> = (0..1000).map(|number| (0, 0, at(number))).collect();
    let mut window = Window::new(LENGTH, false);
    let start = window.start;
    let mut most = 0;
    for (index, (_, remote, timestamp)) in events.iter().enumerate() {
        window.push_all([event(*remote, "none", index, timestamp)], Some(start));
        while window.pop().is_some() {}
        most = most.max(window.count);
    }
    assert!(most <= 27, "{most}");
}

#[test]
fn an_event_later_than_the_window_is_released_with_the_next_one() {
    let released = run(LENGTH, &[(0, 0, at(50)), (30, 0, at(20)), (31, 0, at(81))]);
    assert_eq!(released[..2], [(0, 25), (1, 31)]);
}

#[test]
fn an_odd_event_that_nothing_follows_is_released_after_the_window() {
    for odd in [at(-60_000), at(60_000), at(4_000_000_000_000)] {
        assert_eq!(run(LENGTH, &[(0, 0, at(0)), (30, 0, odd)]), [(0, 25), (1, 55)]);
    }
}

#[test]
fn an_odd_event_that_is_settled_late_still_comes_before_another_origins() {
    assert_eq!(order(LENGTH, &[(0, 0, at(0)), (0, 1, at(1)), (0, 1, at(-60))]), [2, 0, 1]);
}

#[test]
fn states_keep_their_place_as_their_timestamps_are_by_another_clock() {
    let state = |number: usize, milliseconds: i64| {
        let timestamp = at(milliseconds);
        let text = format!(r#"{{"type":"state","timestamp":"{timestamp}","metadata":{number},"location":"none"}}"#);
        Event::decode(Message::from(text), RemoteId(0), None).unwrap()
    };
    let mut window = Window::new(LENGTH, false);
    let moment = Some(window.start);
    window.push_all([event(0, "none", 0, &at(10))], moment);
    // The server's clock is ahead by 20 ms.
    window.push_all([state(1, -10)], moment);
    window.push_all([state(2, -10)], moment);
    window.push_all([event(0, "none", 3, &at(11))], moment);
    let order: Vec<_> = std::iter::from_fn(|| window.drain()).map(|held| number(&held)).collect();
    assert_eq!(order, [0, 1, 2, 3]);
}

#[test]
fn unreadable_timestamps_keep_their_place() {
    let events = [(0, 0, at(5)), (0, 0, "?".into()), (0, 0, at(6)), (0, 0, at(1)), (0, 0, String::new())];
    assert_eq!(order(LENGTH, &events), [3, 4, 0, 1, 2]);
    let events = [(0, 0, "?".into()), (0, 0, at(6)), (0, 0, at(1)), (1, 0, "?".into())];
    assert_eq!(order(LENGTH, &events), [0, 2, 3, 1]);
}

#[test]
fn offsets_and_precision_do_not_matter() {
    let times = ["2026-01-01T01:00:00.000000002+01:00", "2026-01-01T00:00:00.000000001Z", "2025-12-31T19:00:00-05:00"];
    let events: Vec<_> = times.iter().map(|time| (0, 0, (*time).to_owned())).collect();
    assert_eq!(order(LENGTH, &events), [2, 1, 0]);
}

#[test]
fn where_memory_is_short_the_earliest_leave_early() {
    let mut window = Window::new(Duration::from_secs(3600), false);
    for (index, time) in [4, 3, 1, 2].into_iter().enumerate() {
        window.push_all([event(0, "none", index, &at(time))], Some(window.start));
    }
    assert!(window.pop().is_none());
    let early: Vec<_> = (0..2).filter_map(|_| window.pop_early()).map(|held| number(&held)).collect();
    assert_eq!(early, [2, 3]);
}

#[test]
fn a_window_of_zero_keeps_the_order_of_arrival() {
    assert_eq!(run(Duration::ZERO, &[(0, 0, at(9)), (0, 1, at(5)), (7, 0, at(1))]), [(0, 0), (1, 0), (2, 7)]);
}

/// Events of two origins whose clocks differ by `skew` milliseconds. In each origin, neighbours are swapped.
fn skewed(skew: i64) -> Vec<(u64, u16, String)> {
    (0..200u64)
        .flat_map(|pair| {
            let time = i64::try_from(4 * pair).unwrap();
            let arrival = 4 * pair + 3;
            [
                (arrival, 0, at(time + 1)),
                (arrival, 1, at(time + 3 + skew)),
                (arrival, 0, at(time)),
                (arrival, 1, at(time + 2 + skew)),
            ]
        })
        .collect()
}

#[test]
fn clocks_that_differ_disturb_neither_an_origins_order_nor_the_merged_one() {
    for skew in [0, 30, 100, -100, 1000, 60_000, 3_600_000, -3_600_000] {
        let events = skewed(skew);
        let released = order(LENGTH, &events);
        let mut true_order: Vec<_> = (0..events.len()).collect();
        true_order.sort_by_key(|index| [1, 3, 0, 2][index % 4] + index / 4 * 4);
        for remote in [0, 1] {
            let of = |order: &[usize]| -> Vec<usize> {
                order.iter().copied().filter(|index| events[*index].1 == remote).collect()
            };
            assert_eq!(of(&released), of(&true_order), "{skew}");
        }
        // The merged order may be wrong by the difference of the shortest delays of both origins, which is 1 ms here.
        let displaced = released.iter().zip(&true_order).filter(|(one, other)| one.abs_diff(**other) > 8).count();
        assert_eq!(displaced, 0, "{skew}: {released:?}");
    }
}

#[test]
fn a_clock_that_is_set_keeps_the_order_before_and_after() {
    for step in [-3_600_000, -60_000, -100, 100, 60_000, 3_600_000] {
        let events: Vec<_> = (0..200u64)
            .flat_map(|pair| {
                let time = i64::try_from(3 * pair).unwrap() + if pair < 100 { 0 } else { step };
                [(3 * pair + 1, 0, at(time + 1)), (3 * pair + 2, 0, at(time))]
            })
            .collect();
        let wanted: Vec<_> = (0..200).flat_map(|pair| [2 * pair + 1, 2 * pair]).collect();
        assert_eq!(order(LENGTH, &events), wanted, "{step}");
    }
}

#[test]
fn two_clocks_that_pass_for_one_origin_disturb_no_neighbours() {
    // A server that is not clustered names no member: the events of its two clocks, 30 ms apart, look like one origin's.
    let events: Vec<_> = (0..300u64)
        .flat_map(|pair| {
            let time = i64::try_from(3 * pair).unwrap();
            [(3 * pair, 0, at(time + 1)), (3 * pair + 1, 0, at(time)), (3 * pair + 1, 0, at(time + 31))]
        })
        .collect();
    let released: Vec<_> = order(LENGTH, &events).into_iter().filter(|index| index % 3 != 2).collect();
    let wanted: Vec<_> = (0..300).flat_map(|pair| [3 * pair + 1, 3 * pair]).collect();
    assert_eq!(released, wanted);
}

#[test]
fn a_wrong_timestamp_moves_only_itself() {
    for wrong in ["2099-01-01T00:00:00Z".to_owned(), at(60_300), "1970-01-01T00:00:00Z".to_owned(), at(-60_000)] {
        let mut events: Vec<_> = (0..200u64)
            .flat_map(|pair| {
                let time = i64::try_from(3 * pair).unwrap();
                [(3 * pair + 1, 0, at(time + 1)), (3 * pair + 2, 0, at(time))]
            })
            .collect();
        events.insert(201, (302, 0, wrong.clone()));
        let released = order(LENGTH, &events);
        let others: Vec<_> = released.iter().filter(|index| **index != 201).collect();
        assert_eq!(released.len(), 401);
        let wanted: Vec<_> = (0..200)
            .flat_map(|pair| [2 * pair + 1, 2 * pair])
            .map(|index| if index < 201 { index } else { index + 1 })
            .collect();
        assert_eq!(others, wanted.iter().collect::<Vec<_>>(), "{wrong}");
    }
}

#[test]
fn members_with_one_clock_are_merged_by_their_timestamps_however_fast_they_come() {
    // One member sends rarely, and blocks of events arrive at the same time.
    let mut window = Window::new(LENGTH, false);
    let start = window.start;
    let mut released = Vec::new();
    for number in 0..20_000u32 {
        let member = if number % 997 == 5 { "rare" } else { ["m1", "m2", "m3"][number as usize % 7 % 3] };
        let micros = 1_800_000_000_000_000 + 100 * i64::from(number);
        let time = chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
        let arrived = start + Duration::from_micros(300 * u64::from(number / 170));
        window.push_all([event(0, member, number as usize, &time)], Some(arrived));
        window.advance(arrived);
        released.extend(std::iter::from_fn(|| window.pop()).map(|held| super::tests::number(&held)));
    }
    released.extend(std::iter::from_fn(|| window.drain()).map(|held| super::tests::number(&held)));
    assert!(released.iter().copied().eq(0..20_000));
}

#[test]
fn an_event_that_is_a_little_ahead_keeps_its_place_by_timestamp() {
    // The first event was delayed by 30 ms more than the others, so all others seem to be ahead.
    let events = [(30, 0, at(0)), (31, 0, at(31)), (37, 0, at(30)), (38, 0, at(39)), (39, 0, at(38))];
    assert_eq!(order(LENGTH, &events), [0, 2, 1, 4, 3]);
}

#[test]
fn events_far_apart_that_come_all_at_once_keep_their_order() {
    let events: Vec<_> = (0..100).map(|number| (0, 0, at(1000 * number))).collect();
    assert_eq!(order(LENGTH, &events), (0..100).collect::<Vec<_>>());
}

#[test]
fn events_of_one_member_are_in_order_although_two_remotes_bring_them() {
    // One connection brings its events 15 ms later than the other one.
    let released = |is_joined: bool| {
        let mut window = Window::new(LENGTH, false);
        let start = window.start;
        if is_joined {
            window.join(RemoteId(3), RemoteId(1));
        }
        let mut arrivals: Vec<_> =
            (0..200).map(|number| (if number % 2 == 0 { number } else { number + 15 }, number)).collect();
        arrivals.sort_unstable();
        let mut released = Vec::new();
        for (arrival, number) in arrivals {
            let moment = start + Duration::from_millis(arrival);
            let remote = if number % 2 == 0 { 1 } else { 3 };
            let number = usize::try_from(number).unwrap();
            window.push_all([event(remote, "n2", number, &at(i64::try_from(number).unwrap()))], Some(moment));
            window.advance(moment);
            released.extend(std::iter::from_fn(|| window.pop()).map(|held| self::number(&held)));
        }
        released.extend(std::iter::from_fn(|| window.drain()).map(|held| self::number(&held)));
        released
    };
    assert_eq!(released(true), (0..200).collect::<Vec<_>>());
    assert_ne!(released(false), released(true));
}

#[test]
fn a_gap_of_a_remote_stands_behind_what_its_cluster_has_sent() {
    let mut window = Window::new(LENGTH, false);
    let moment = window.start;
    for (remote, other) in [(2, 1), (4, 3), (3, 1)] {
        window.join(RemoteId(remote), RemoteId(other));
    }
    for remote in [0, 1, 5] {
        assert_eq!(window.leads.of(RemoteId(remote)), RemoteId(remote));
    }
    for remote in 2..=4 {
        assert_eq!(window.leads.of(RemoteId(remote)), RemoteId(1));
    }
    window.push_all([event(2, "n2", 0, &at(0))], Some(moment));
    window.push_gap(Gap {
        remote: RemoteId(4),
        last_event: None,
        since: crate::system::clock::local_now(),
        end: None,
        reason: String::new(),
        dropped: 1,
    });
    assert_eq!(window.origins.len(), 1);
    assert_eq!(std::iter::from_fn(|| window.drain()).map(|held| number(&held)).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_gap_stands_behind_what_came_before_it_and_disturbs_no_other_remote() {
    let gap = Gap {
        remote: RemoteId(0),
        last_event: None,
        since: chrono::Local::now(),
        end: None,
        reason: String::new(),
        dropped: 99,
    };
    let mut window = Window::new(LENGTH, false);
    let start = window.start;
    for (index, (remote, time)) in [(0, 2), (1, 2), (0, 1)].into_iter().enumerate() {
        window.push_all([event(remote, "none", index, &at(time))], Some(start));
    }
    window.push_gap(gap);
    window.push_all([event(1, "none", 3, &at(1))], Some(start));
    window.push_all([event(0, "none", 4, &at(3))], Some(start));
    window.advance(start + 2 * LENGTH);
    let released: Vec<_> = std::iter::from_fn(|| window.pop()).map(|held| number(&held)).collect();
    let position = |number| released.iter().position(|released| *released == number).unwrap();
    assert!(position(2) < position(0) && position(0) < position(99) && position(99) < position(4), "{released:?}");
    assert!(position(3) < position(1), "{released:?}");
}

#[test]
fn a_recording_is_put_in_order_without_times_of_arrival() {
    let mut window = Window::new(LENGTH, false);
    let times = [0, 2, 1, 5_000, 5_002, 5_001, 9_000_000, 9_000_001];
    for (index, time) in times.into_iter().enumerate() {
        window.push_all([event(0, "none", index, &at(time))], None);
    }
    assert_eq!(window.deadline(), None);
    let mut released: Vec<_> = std::iter::from_fn(|| window.pop()).map(|held| number(&held)).collect();
    assert_eq!(released, [0, 2, 1, 3, 5, 4]);
    released.extend(std::iter::from_fn(|| window.drain()).map(|held| number(&held)));
    assert_eq!(released, [0, 2, 1, 3, 5, 4, 6, 7]);
}

#[test]
fn lines_of_a_growing_recording_that_are_not_selected_delay_nothing() {
    let mut window = Window::new(LENGTH, true);
    window.push_all([event(0, "none", 0, &at(0))], None);
    let deadline = window.deadline();
    assert!(deadline.is_some());
    window.push_all([], None);
    assert_eq!(window.deadline(), deadline);
}

#[test]
fn a_recording_that_grows_is_put_in_order_by_its_own_times() {
    let mut window = Window::new(LENGTH, true);
    let mut released = Vec::new();
    // The lines arrive long after the start, and each is read on its own.
    for (index, time) in [0, 2, 1].into_iter().enumerate() {
        window.push_all([event(0, "none", index, &at(time))], None);
        window.advance(Instant::now() + LENGTH / 2);
        released.extend(std::iter::from_fn(|| window.pop()).map(|held| number(&held)));
    }
    // The fourth line has a wrong timestamp, or the clock was set.
    for (index, time) in [(3, 3_600_000), (4, 3_500_000)] {
        window.push_all([event(0, "none", index, &at(time))], None);
    }
    window.advance(Instant::now() + 2 * LENGTH);
    released.extend(std::iter::from_fn(|| window.pop()).map(|held| number(&held)));
    assert_eq!(released, [0, 2, 1, 4, 3]);
    assert_eq!(window.deadline(), None);
}

/// Events of two members whose clocks differ by `skew` milliseconds, in the order in which they were sent. They are
/// read every 33 ms. One member sends every 4 ms, the other rarely.
fn read_late(skew: i64) -> Vec<(u64, &'static str, String)> {
    let sent = |number: u64| (4 * number, "often", i64::try_from(4 * number).unwrap());
    let rare = |number: u64| (40 * number + 13, "rare", i64::try_from(40 * number + 13).unwrap() + skew);
    let mut events: Vec<_> = (0..500).map(sent).chain((0..50).map(rare)).collect();
    events.sort_by_key(|event| event.0);
    events.into_iter().map(|(sent, member, time)| (sent.next_multiple_of(33), member, at(time))).collect()
}

#[test]
fn members_are_merged_by_their_clocks_although_single_events_are_read_late() {
    for (skew, sure_from) in [(0, 0), (30, 200), (-30, 200), (100, 200), (-3_600_000, 200)] {
        let events = read_late(skew);
        let mut window = Window::new(LENGTH, false);
        let start = window.start;
        let mut released = Vec::new();
        for (index, (arrival, member, time)) in events.iter().enumerate() {
            let arrived = start + Duration::from_millis(*arrival);
            window.push_all([event(0, member, index, time)], Some(arrived));
            if events.get(index + 1).is_none_or(|next| next.0 != *arrival) {
                window.advance(arrived);
                released.extend(std::iter::from_fn(|| window.pop()).map(|held| number(&held)));
            }
        }
        released.extend(std::iter::from_fn(|| window.drain()).map(|held| number(&held)));
        // From times of arrival, the skew of clocks that differ is known to a few milliseconds only.
        let tolerance = if skew == 0 { 0 } else { 4 };
        let displaced =
            released.iter().enumerate().skip(sure_from).filter(|(at, index)| at.abs_diff(**index) > tolerance);
        assert_eq!(displaced.count(), 0, "{skew}: {released:?}");
    }
}

#[test]
fn members_that_are_heard_of_rarely_stay_merged_while_their_clock_drifts_from_ours() {
    // For an hour, with one event a minute of the rare one. Both clocks are slow by a millisecond in ten seconds.
    let mut window = Window::new(LENGTH, false);
    let start = window.start;
    let mut released = Vec::new();
    for number in 0..18_000u64 {
        let sent = 200 * number;
        let member = if number % 300 == 7 { "rare" } else { "often" };
        let shown = sent - sent / 10_000;
        let arrived = start + Duration::from_millis(sent + number % 3);
        window.push_all(
            [event(0, member, usize::try_from(number).unwrap(), &at(i64::try_from(shown).unwrap()))],
            Some(arrived),
        );
        // Another one that was sent 3 ms before, and must come before it.
        let (number, sent) = (number + 100_000, sent.saturating_sub(3));
        let member = if member == "rare" { "often" } else { "rare" };
        if number % 300 == 107 {
            let shown = sent - sent / 10_000;
            window.push_all(
                [event(0, member, usize::try_from(number).unwrap(), &at(i64::try_from(shown).unwrap()))],
                Some(arrived),
            );
        }
        window.advance(arrived);
        released.extend(std::iter::from_fn(|| window.pop()).map(|held| super::tests::number(&held)));
    }
    released.extend(std::iter::from_fn(|| window.drain()).map(|held| super::tests::number(&held)));
    let position = |number: usize| released.iter().position(|released| *released == number).unwrap();
    for number in (7..18_000).step_by(300) {
        assert!(position(number) < position(number + 1), "{number}");
        if let Some(close) = released.iter().position(|released| *released == number + 100_000) {
            assert!(close < position(number), "{number}");
        }
    }
}

#[test]
fn more_origins_than_are_kept_lose_nothing() {
    let mut window = Window::new(LENGTH, false);
    let start = window.start;
    for index in 0..2 * MAX_ORIGINS {
        window.push_all([event(0, &format!("m{index}"), index, &at(0))], Some(start));
    }
    let mut released: Vec<_> = std::iter::from_fn(|| window.drain()).map(|held| number(&held)).collect();
    released.sort_unstable();
    assert_eq!(released, (0..2 * MAX_ORIGINS).collect::<Vec<_>>());
    assert!(window.origins.len() <= MAX_ORIGINS);
}

proptest! {
    #[test]
    fn everything_is_released_once_in_each_origins_order_when_none_is_late(
        jitter in prop::collection::vec((0i64..12, 0u64..3, 0u16..3), 1..200), skew in 0i64..100_000
    ) {
        let mut now = 0;
        let mut events = Vec::new();
        for (late, pause, remote) in jitter {
            now += pause;
            events.push((now, remote, at(now.cast_signed() - late + skew * i64::from(remote))));
        }
        let released = order(LENGTH, &events);
        for remote in 0..3 {
            let of = |index: &&usize| events[**index].1 == remote;
            let mut wanted: Vec<_> = (0..events.len()).collect();
            wanted.sort_by_key(|index| events[*index].2.clone());
            prop_assert_eq!(released.iter().filter(of).collect::<Vec<_>>(), wanted.iter().filter(of).collect::<Vec<_>>());
        }
        prop_assert_eq!(released.len(), events.len());
    }

    #[test]
    fn nothing_is_lost_whatever_the_timestamps(
        events in prop::collection::vec((0u64..3, 0u16..2, prop_oneof![
            (0i64..200).prop_map(at),
            any::<i32>().prop_map(|time| at(i64::from(time))),
            Just(String::from("?")),
            Just("1677-09-21T00:12:44Z".to_owned()),
            Just("2262-04-11T23:47:16Z".to_owned()),
        ]), 1..200)
    ) {
        let mut now = 0;
        let events: Vec<_> = events.into_iter().map(|(pause, remote, time)| { now += pause; (now, remote, time) }).collect();
        let mut released = order(LENGTH, &events);
        released.sort_unstable();
        prop_assert_eq!(released, (0..events.len()).collect::<Vec<_>>());
    }
}
