from deploytools.testing.fleet import FleetUnderTest


def test_each_task_runs_on_its_tier(fleet: FleetUnderTest) -> None:
    fleet.start_all()
    naps = [fleet.send("shop.nap", 0.5) for _ in range(4)]
    quick = [fleet.send("shop.quick") for _ in range(4)]
    fleet.expect_routed_to("counter", quick)
    fleet.expect_routed_to("store_room", naps)
    fleet.expect_nothing_lost()
