use super::*;

const MIB: usize = 1 << 20;

fn block(size: usize) -> Block {
    let mut block = Block::with_capacity(size).unwrap();
    block.push(&"x".repeat(size)).unwrap();
    block
}

fn push(queue: &Queue, mib: usize) -> Vec<Pushed> {
    (0..mib).map(|_| queue.push(Feed::default(), &mut block(MIB), Instant::now(), "")).collect()
}

fn dropped(pushed: &[Pushed]) -> usize {
    pushed.iter().filter(|pushed| matches!(pushed, Pushed::Dropped)).count()
}

#[test]
fn a_gap_of_dropped_events_names_the_last_event_wherever_that_is() {
    let queue = Queue::new(MIB, false);
    // The memory of a taken item is still in use.
    push(&queue, 1);
    let taken = queue.take();
    let before = r#"{"type":"x","timestamp":"2026-11-25T12:00:00Z"}"#;
    assert!(matches!(queue.push(Feed::default(), &mut block(MIB), Instant::now(), before), Pushed::Dropped));
    drop(taken);
    let Pushed::Queued(Some(gap)) = queue.push(Feed::default(), &mut block(1), Instant::now(), "") else {
        panic!("no gap")
    };
    assert_eq!(gap.last_event.as_deref(), Some("2026-11-25T12:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_rests_while_much_waits_but_only_shortly() {
    let queue = Queue::new(64 * MIB, false);
    let begun = tokio::time::Instant::now();
    push(&queue, 7);
    queue.rest().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    push(&queue, 1);
    queue.rest().await;
    assert_eq!(begun.elapsed(), REST);
    // From now on the queue grows, without another rest.
    for _ in 0..50 {
        assert_eq!(dropped(&push(&queue, 1)), 0);
        queue.rest().await;
    }
    assert_eq!(begun.elapsed(), REST);
    // Once the queue has been short again, readers rest again when it is long.
    while queue.state().bytes > 2 * MIB {
        queue.take();
    }
    queue.rest().await;
    push(&queue, 8);
    queue.rest().await;
    assert_eq!(begun.elapsed(), 2 * REST);
}

#[tokio::test(start_paused = true)]
async fn a_reader_rests_while_the_sort_window_and_the_queue_take_all_memory_together() {
    let queue = Queue::new(8 * MIB, false);
    push(&queue, 4);
    let held: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
    push(&queue, 4);
    let begun = tokio::time::Instant::now();
    let free = async {
        tokio::time::sleep(REST / 2).await;
        drop(held);
    };
    let rest = async {
        queue.rest().await;
        begun.elapsed()
    };
    assert_eq!(tokio::join!(rest, free).0, REST / 2);
    assert_eq!(dropped(&push(&queue, 3)), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_wakes_a_reader_that_waits_for_ever() {
    let queue = Queue::new(64 * MIB, true);
    push(&queue, 8);
    let begun = tokio::time::Instant::now();
    let rest = queue.rest();
    let take = async {
        tokio::time::sleep(10 * REST).await;
        // The taken items are not freed, as if the sort window held them.
        std::iter::from_fn(|| queue.take()).collect::<Vec<_>>()
    };
    let _held = tokio::join!(rest, take);
    // Nothing can be dropped, so the rest lasted longer than a server would allow.
    assert_eq!(begun.elapsed(), 10 * REST);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_counted_and_reported_where_it_is_missing() {
    let queue = Queue::new(16 * MIB, false);
    let pushed = push(&queue, 20);
    // The limit can be exceeded by one block.
    assert!((4..=5).contains(&dropped(&pushed)), "{pushed:?}");
    let lost = dropped(&pushed) as u64;
    // Freeing less than `STEP` does not end the gap. Otherwise gaps and blocks would alternate.
    assert!(tokio::time::timeout(REST, queue.end_dropping(Feed::default())).await.is_err());
    let taken: Vec<_> = (0..3).map(|_| queue.take()).collect();
    drop(taken);
    let gap = queue.end_dropping(Feed::default()).await.unwrap();
    assert_eq!((gap.dropped, gap.end.unwrap().is_over), (lost, true));
    assert!(matches!(push(&queue, 1)[..], [Pushed::Queued(None)]));
    let kinds: Vec<_> =
        std::iter::from_fn(|| queue.take()).map(|item| matches!(item, Item::Gap(gap) if gap.dropped == lost)).collect();
    assert_eq!(kinds.iter().position(|is_gap| *is_gap), Some(kinds.len() - 2), "{kinds:?}");
}

#[test]
fn what_the_sort_window_holds_makes_no_reader_rest_for_ever() {
    let queue = Queue::new(64 * MIB, true);
    push(&queue, 20);
    let held: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(queue.rest());
    assert!(queue.memory().used() > 20 * MIB);
    drop(held);
}

#[test]
fn the_end_closes_what_is_open() {
    let queue = Queue::new(MIB, false);
    let gap =
        Gap { remote: RemoteId(1), last_event: None, since: local_now(), end: None, reason: "lost".into(), dropped: 0 };
    queue.open_gap(gap.remote.into(), gap, Moment::now());
    push(&queue, 4);
    let gaps = queue.end();
    assert_eq!(gaps.len(), 2);
    assert!(gaps.iter().all(|gap| gap.end.is_some_and(|end| !end.is_over)));
    // Items that come after the end are ignored.
    push(&queue, 1);
    let items: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
    assert!(matches!(&items[..], [Item::Gap(_), .., Item::Gap(_), Item::Gap(_)]), "{items:?}");
    assert_eq!(queue.thread_caught_up(), CaughtUp::Ended);
}
