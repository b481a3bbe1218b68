"""Starts PaperProof, all of it or parts of it, watches them, and stops everything it started. `python startup.py --help` teaches."""

from __future__ import annotations

import argparse
import os
import sys

EXAMPLES = """\
examples 例子:
  python startup.py -a                          everything; then open http://127.0.0.1:8501
                                                启动全部服务，然后打开网页界面
  python startup.py -a --lite                   everything but local models (LLM from an online endpoint)
                                                不加载本地大模型，使用在线模型
  python startup.py --all-api                   everything but the web UI
                                                启动全部 API，不启动网页界面
  python startup.py -a -n chatglm2-6b           everything, with this local model
                                                启动全部服务，指定本地模型
  python startup.py -o                          OpenAI API and controller only; and in another terminal, or on
  python startup.py -m -n chatglm2-6b \\
         -c http://127.0.0.1:20001              another GPU, a worker that registers there
                                                先启动控制器，再单独启动模型 worker
  python startup.py --chat kb/samples           ask a library in this terminal
                                                在终端里向论文库提问
  python startup.py --api -w                    knowledge-base API and web UI, no LLM
                                                只启动知识库 API 和网页界面

Ports, models, keys: configs/settings.yaml and .env 端口、模型、密钥都在其中设置. Ctrl-C stops everything 停止全部.
Exit codes: 0 stopped as asked, 1 a part failed or a port is taken, 2 the command line or a setting is wrong."""

SELECTING = ("--all-webui", "--all-api", "--llm-api", "--openai-api", "--model-worker", "--api", "--api-worker", "--webui")


def wrong_python(version: tuple[int, int]) -> str:
    """Why this Python cannot be used; "" when it can."""
    if (3, 11) <= version < (3, 13):
        return ""
    return (
        f"PaperProof needs Python 3.11 or 3.12, and this is {version[0]}.{version[1]} ({sys.executable}). "
        "Make an environment with one of them: python3.11 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    )


def make_parser() -> argparse.ArgumentParser:
    """Every flag with what it starts."""
    parser = argparse.ArgumentParser(
        prog="startup.py",
        description="Start PaperProof: chat with a library of research papers. 启动 PaperProof：与论文库对话。",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to start; flags add up 启动什么（可组合）")
    what.add_argument("-a", "--all-webui", action="store_true", help="everything: controller, worker, OpenAI API, API, web UI 全部服务")
    what.add_argument("--all-api", action="store_true", help="everything but the web UI 除网页界面外的全部服务")
    what.add_argument("--llm-api", action="store_true", help="controller, workers and OpenAI API 大模型服务")
    what.add_argument("-o", "--openai-api", action="store_true", help="controller and OpenAI API (port 20000) 控制器和 OpenAI 接口")
    what.add_argument("-m", "--model-worker", action="store_true", help="a worker for each local model 本地模型 worker")
    what.add_argument("--api", action="store_true", help="knowledge-base API (port 7861) 知识库 API")
    what.add_argument("-p", "--api-worker", action="store_true", help="OpenAI API for online endpoints only 仅在线模型接口")
    what.add_argument("-w", "--webui", action="store_true", help="web UI (port 8501) 网页界面")
    what.add_argument(
        "--chat",
        nargs="?",
        const="",
        metavar="MODEL",
        help="talk to a model, or to a library as kb/NAME, in this terminal; starts what that needs 在终端里对话",
    )
    how = parser.add_argument_group("how 怎样启动")
    how.add_argument("-n", "--model-name", nargs="+", default=[], metavar="NAME", help="local models that workers serve 本地模型名称")
    how.add_argument("-c", "--controller", metavar="URL", help="controller on this machine that workers register with 注册到的本机控制器")
    how.add_argument("-q", "--quiet", action="store_true", help="no banner, no bars: troubles and one line 少输出")
    how.add_argument("-i", "--lite", action="store_true", help="no local worker 不启动本地模型")
    return parser


def chosen(options: argparse.Namespace) -> tuple[str, ...]:
    """The selecting flags that were given."""
    return tuple(flag for flag in SELECTING if getattr(options, flag.removeprefix("--").replace("-", "_")))


def say(line: str) -> None:
    """Print a line without breaking a progress bar. When the terminal has gone, go on without: the logs have it too."""
    from tqdm import tqdm

    try:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
    except OSError:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process


def main(arguments: list[str] | None = None) -> int:
    """The exit code; see EXAMPLES."""
    if problem := wrong_python(sys.version_info[:2]):
        print(problem, file=sys.stderr)
        return 1
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Chinese gets question marks, not a crash
    parser = make_parser()
    options = parser.parse_args(arguments)
    flags = chosen(options)
    if options.chat is not None and flags:
        print(f"startup.py: --chat starts what it needs by itself; leave out {flags[0]}", file=sys.stderr)
        return 2
    if not flags and options.chat is None:
        parser.print_help()
        print("\nNothing was named to start; `python startup.py -a` starts everything. 没有指定要启动的服务。", file=sys.stderr)
        return 2
    try:
        from configs.settings import SettingsError
        from server import terminal_chat
        from server.errors import PaperError
        from server.launch import Wish, make_plan
        from server.starting import Session
    except ModuleNotFoundError as exc:
        print(f"the package {exc.name} is not installed in {sys.executable}. Run: {sys.executable} -m pip install -r requirements.txt")
        return 1
    try:
        if options.chat is not None:
            return terminal_chat.run(options.chat)
        plan = make_plan(Wish(flags, tuple(options.model_name), options.controller, options.lite, options.quiet))
    except (PaperError, SettingsError) as exc:
        print(f"startup.py: {exc}", file=sys.stderr)
        return 2
    return Session(plan, say).run()


if __name__ == "__main__":
    sys.exit(main())
