"""Single workers: the launcher becomes Celery, names are unique, code reloads, the guide's one-liners work."""

import sys

import psutil

from deploytools.testing.project import ProjectUnderTest
from deploytools.testing.waiting import wait_until


def test_two_workers_of_a_tier_have_names_of_their_own_and_share_the_queue(project: ProjectUnderTest) -> None:
    workers = [project.start_command("worker.low") for _ in range(2)]
    for worker in workers:
        worker.wait_for_log(" ready.")

    def seen() -> set[str]:  # a reply that takes more than a second is none
        found = project.snapshot()["tiers"]["low"]["workers"]
        assert [each["queues"] for each in found] == [["low_priority"]] * 2, found
        return {each["node"] for each in found}

    assert len(wait_until(seen, "both to be seen")) == 2


def test_a_launcher_becomes_celery_so_that_signals_reach_it(project: ProjectUnderTest) -> None:
    worker = project.start_command("worker.low")
    worker.wait_for_log(" ready.")

    assert "celery" in " ".join(psutil.Process(worker.pid).cmdline())
    assert worker.stop() == 0
    assert "Warm shutdown" in worker.log()


def test_what_adds_commands_to_celery_is_not_loaded_with_it(project: ProjectUnderTest) -> None:
    code = """if True:
        import sys, deploytools.celery
        try:
            deploytools.celery.main()
        finally:
            print({"celery.bin.worker", "click_repl", "prompt_toolkit", "flower", "tornado"} & set(sys.modules))
    """

    done = project.run(sys.executable, "-c", code, "--version")

    assert done.stdout.splitlines()[-1] == "{'celery.bin.worker'}"


def test_a_worker_for_development_takes_every_queue_and_reloads_changed_code(shop: ProjectUnderTest) -> None:
    worker = shop.start_command("worker.dev")
    worker.wait_for_log(" ready.")
    code = shop.root / "shop.py"

    code.write_text(code.read_text().replace("quick done", "quicker done"))
    worker.wait_for_log(" ready.", times=2)
    shop.run(sys.executable, "-c", "import shop; shop.quick.delay(); shop.nap.delay(0)")

    worker.wait_for_log("quicker done")
    worker.wait_for_log("slept 0")
    worker.interrupt()
    worker.wait()


def test_the_guides_one_liners_work(project: ProjectUnderTest) -> None:
    worker = project.start_command("worker.high")
    worker.wait_for_log(" ready.")
    celery = [sys.executable, "-m", "celery", "-A", "app.tasks"]

    tasks = project.run(sys.executable, "-c", "from app.tasks import celery_app; print(celery_app.tasks.keys())")
    url = project.run(sys.executable, "-c", "from app import celeryconfig; print(celeryconfig.broker_url)")
    queues = project.run(*celery, "inspect", "--timeout", "10", "active_queues")
    ping = project.run(*celery, "inspect", "--timeout", "10", "ping")
    events = project.start([*celery, "events", "--dump"])

    assert "app.tasks.images.make_variants" in tasks.stdout
    assert url.stdout == f"{project.broker.address.url}\n"
    assert "high_priority" in queues.stdout
    assert "pong" in ping.stdout
    events.wait_for_log("heartbeat")
    events.kill_all()


def test_beat_sends_what_is_due_and_the_low_tier_runs_it(project: ProjectUnderTest) -> None:
    worker = project.start_command("worker.low")
    beat = project.start_command("beat", APP_CLEANUP_EVERY_SECONDS="1")

    beat.wait_for_log("sending expire-what-outlived-its-use", times=2)
    worker.wait_for_log("app.tasks.cleanup.expire", times=3)


def test_flower_asks_for_a_password_and_keeps_it_out_of_its_command_line(project: ProjectUnderTest) -> None:
    flower = project.start_command("flower", "--port", "0")
    password_file = project.state / "flower-password"
    wait_until(password_file.exists, "the password to be made")
    flower.wait_for_log("Connected to")

    password = password_file.read_text()

    assert password_file.stat().st_mode & 0o777 == 0o600
    assert password not in " ".join(psutil.Process(flower.pid).cmdline())
    assert password not in flower.log()
