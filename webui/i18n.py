"""Every word of the UI in English and Chinese: key and values in, a sentence out. Knows nothing of Streamlit."""

from __future__ import annotations

LANGUAGES = {"zh": "中文", "en": "English"}

# key: (English, Chinese); names in braces are filled in
WORDS: dict[str, tuple[str, str]] = {
    "app.name": ("PaperProof", "PaperProof"),
    "page.chat": ("Chat", "问答"),
    "page.library": ("Libraries", "知识库"),
    "language": ("Language", "语言"),
    # models and status
    "status.ready": ("Connected · version {version}", "已连接 · 版本 {version}"),
    "status.down": ("Not connected", "未连接"),
    "status.models": ("Answers: {llm} · Search: {embedding}", "回答：{llm} · 检索：{embedding}"),
    "status.small": ("demo model – answers are verbatim quotes", "演示模型 – 回答为原文摘录"),
    "status.embedding_loading": (
        "The embedding model {name} is loading. Questions can be asked in a moment.",
        "向量模型 {name} 正在加载，稍候即可提问。",
    ),
    "status.embedding_failed": (
        "The embedding model {name} could not be loaded, so nothing can be searched: {error}",
        "向量模型 {name} 加载失败，无法检索：{error}",
    ),
    "status.llm_down": (
        "The language model {name} is not running. Start it with `python startup.py -m`, or choose another in the settings.",
        "语言模型 {name} 未运行。请用 `python startup.py -m` 启动，或在设置中更换模型。",
    ),
    "outage.title": ("This page cannot reach its server", "本页面无法连接服务"),
    "outage.recover": ("Trying again every few seconds; the page comes back by itself.", "每隔几秒自动重试，恢复后页面会自动刷新。"),
    "key.title": ("This server wants a key", "此服务器需要密钥"),
    "key.label": ("API key, from whoever runs the server", "API 密钥（向服务器管理员索取）"),
    "key.submit": ("Enter", "进入"),
    # chat
    "chat.new": ("New conversation", "新对话"),
    "chat.input": ("Ask this library", "向知识库提问"),
    "chat.title": ("What would you like to know?", "想了解什么？"),
    "chat.lead": (
        "Answers come from the papers of the library “{kb}”, and every citation opens the page it stands on.",
        "回答来自知识库“{kb}”中的论文，点击引用即可查看所在页面。",
    ),
    "chat.examples": ("For example", "例如"),
    "chat.no_library": (
        "There is no library yet. Make one and upload some papers, then ask here.",
        "还没有知识库。请先新建知识库并上传论文，再来提问。",
    ),
    "chat.empty_library": (
        "The library “{kb}” holds no readable paper yet. Upload some first.",
        "知识库“{kb}”中还没有可用的论文，请先上传。",
    ),
    "chat.reading": (
        "Papers are being read: {ready} of {files} are ready and can be asked about.",
        "正在读取论文：{files} 篇中已有 {ready} 篇可供提问。",
    ),
    "chat.to_library": ("Go to Libraries", "前往知识库页面"),
    "chat.thinking": ("Searching the library…", "正在检索…"),
    "chat.stop": ("Stop", "停止"),
    "chat.stopped": ("Stopped.", "已停止。"),
    "chat.failed": ("No answer: {words}", "未能回答：{words}"),
    "chat.refused": ("Not in your library", "知识库中没有答案"),
    "chat.refused_words": (
        "The papers of this library do not support an answer to this question.",
        "该知识库中的论文不足以回答这个问题。",
    ),
    "chat.sources": ("Citations", "引用"),
    "chat.closest": ("Closest passages", "最接近的段落"),
    # citations
    "cite.place": ("{file}, p. {page}", "{file}，第 {page} 页"),
    "cite.verified": ("found word for word in the paper", "已在原文中逐字核对"),
    "cite.unverified": ("not found word for word – read the page", "未能逐字核对，请查看原文"),
    "cite.previous": ("Previous", "上一条"),
    "cite.next": ("Next", "下一条"),
    "cite.close": ("Close", "关闭"),
    "cite.count": ("Citation {position} of {total}", "引用 {position} / {total}"),
    "cite.alt": ("Page {page} of {file} with the cited passage highlighted", "{file} 第 {page} 页，引用段落已高亮"),
    "cite.no_pages": ("{file} has no pages; this is the quote as it stands there.", "{file} 没有页面，以下为原文摘录。"),
    "cite.no_image": ("The page cannot be shown. {words}", "无法显示该页。{words}"),
    # libraries
    "library.choose": ("Library", "知识库"),
    "library.none": ("There is no library yet. Make the first one.", "还没有知识库，请新建一个。"),
    "library.new": ("New library", "新建知识库"),
    "library.name": ("Name", "名称"),
    "library.create": ("Create", "新建"),
    "library.name_missing": ("A library needs a name.", "请填写知识库名称。"),
    "library.exists": ("There is a library of this name already.", "已有同名知识库。"),
    "library.damaged": ("The library “{kb}” cannot be used: {error}", "知识库“{kb}”无法使用：{error}"),
    "library.delete": ("Delete library", "删除知识库"),
    "library.delete_ask": (
        "Delete the library “{kb}” and all papers in it ({files})? This cannot be undone.",
        "确定删除知识库“{kb}”及其 {files} 篇文献吗？此操作无法撤销。",
    ),
    "library.deleted": ("The library “{kb}” is deleted.", "知识库“{kb}”已删除。"),
    "library.created": ("The library “{kb}” is ready for papers.", "知识库“{kb}”已建立，可以上传论文。"),
    "library.facts": (
        "Documents: {files} · ready: {ready} · failed: {failed} · passages: {chunks}",
        "{files} 篇文献 · {ready} 篇可用 · {failed} 篇失败 · {chunks} 个段落",
    ),
    "library.embedding": ("embedding {name}", "向量模型 {name}"),
    "library.manage": ("Upkeep", "维护"),
    "library.increment": ("Read new files", "读取新文件"),
    "library.increment_help": (
        "Reads what was put into the library's folder since the last time, and tries files again that were stopped or failed for want of "
        "memory or disk.",
        "读取上次之后放入知识库文件夹的文件，并重试被停止或因内存、磁盘不足而失败的文件。",
    ),
    "library.rebuild": ("Read everything again", "全部重新读取"),
    "library.rebuild_help": ("Reads, splits and embeds every file anew. It takes a while.", "对所有文件重新读取、切分和向量化，耗时较长。"),
    # documents
    "docs.heading": ("Documents", "文献"),
    "docs.none": ("No document yet.", "还没有文献。"),
    "docs.pick": ("Tick rows to delete documents.", "勾选行可删除文献。"),
    "docs.title": ("Title", "标题"),
    "docs.authors": ("Authors", "作者"),
    "docs.year": ("Year", "年份"),
    "docs.same_as": ("same paper as {file}", "与 {file} 为同一论文"),
    "docs.file": ("File", "文件"),
    "docs.language": ("Language", "语言"),
    "docs.pages": ("Pages", "页数"),
    "docs.chunks": ("Passages", "段落"),
    "docs.state": ("State", "状态"),
    "docs.reason": ("Remarks", "说明"),
    "docs.delete": ("Delete selected ({count})", "删除所选（{count}）"),
    "docs.delete_ask": ("Delete these documents from “{kb}”? This cannot be undone.", "确定从“{kb}”中删除以下文献吗？此操作无法撤销。"),
    "docs.more": ("and {count} more", "另有 {count} 篇"),
    "docs.deleted": ("Deleted: {count}", "已删除 {count} 篇"),
    "state.new": ("not read yet", "尚未读取"),
    "state.queued": ("queued", "排队中"),
    "state.reading": ("reading", "读取中"),
    "state.embedding": ("embedding", "向量化中"),
    "state.ready": ("ready", "可用"),
    "state.failed": ("failed", "失败"),
    "lang.zh": ("Chinese", "中文"),
    "lang.en": ("English", "英文"),
    # uploads and jobs
    "upload.heading": ("Add papers", "添加论文"),
    "upload.files": (
        "Files: PDF, scans, Word, Excel, PowerPoint, EPUB, web pages, Markdown, text, CSV, mail, notebooks, source code, images",
        "文件：PDF、扫描件、Word、Excel、PowerPoint、EPUB、网页、Markdown、文本、CSV、邮件、笔记本、源代码、图片",
    ),
    "upload.password": ("Password of encrypted PDFs, if any", "加密 PDF 的密码（如有）"),
    "upload.password_help": ("The copy in the library is stored without it.", "知识库中保存的是去除密码后的副本。"),
    "upload.choose": ("Choose files", "选择文件"),
    "upload.limit": ("or drop them here, up to {mib} MB each", "或拖放到此处，每个不超过 {mib} MB"),
    "upload.override": ("Replace files of the same name", "覆盖同名文件"),
    "upload.start": ("Upload and read", "上传并读取"),
    "upload.sending": ("Sending files: {count}…", "正在上传 {count} 个文件…"),
    "job.upload": ("Reading uploaded papers", "正在读取上传的论文"),
    "job.increment": ("Reading new files", "正在读取新文件"),
    "job.rebuild": ("Reading everything again", "正在全部重新读取"),
    "job.other": ("Working", "处理中"),
    "job.progress": ("{done} of {total} files", "{done} / {total} 个文件"),
    "job.current": ("now: {file}", "当前：{file}"),
    "job.page": ("page {page} of {pages}, by OCR", "第 {page} / {pages} 页（文字识别）"),
    "job.left": ("about {time} left", "约剩 {time}"),
    "job.starting": ("starting…", "准备中…"),
    "job.cancel": ("Stop reading", "停止读取"),
    "job.cancelling": ("Stopping after the current file…", "读完当前文件后停止…"),
    "job.state_done": ("Done: {good} of {total} files are ready, after {time}.", "完成：{total} 个文件中 {good} 个可用，用时 {time}。"),
    "job.unchanged": ("{count} of them had not changed.", "其中 {count} 个未变化。"),
    "job.state_cancelled": ("Stopped: {done} of {total} files were handled.", "已停止：处理了 {total} 个文件中的 {done} 个。"),
    "job.state_failed": ("The work ended with an error: {message}", "处理出错：{message}"),
    "job.failures": ("Could not be read: {count}", "未能读取：{count} 个"),
    "job.dismiss": ("Hide", "隐藏"),
    "ask.cancel": ("Keep", "保留"),
    "ask.delete": ("Delete", "删除"),
    # time
    "time.s": ("{n} s", "{n} 秒"),
    "time.min": ("{n} min", "{n} 分钟"),
    "time.h": ("{n} h", "{n} 小时"),
    # what can go wrong
    "problem.down": (
        "The knowledge-base API at {url} is not running or cannot be reached. "
        "Start it with `python startup.py -a`, or set PAPERPROOF_API_URL to its address.",
        "位于 {url} 的知识库 API 未启动或无法连接。请运行 `python startup.py -a`，或将 PAPERPROOF_API_URL 设为其地址。",
    ),
    "problem.silent": (
        "The knowledge-base API at {url} stopped answering. It may be busy or restarting; look into its log if this stays.",
        "位于 {url} 的知识库 API 没有响应，可能正忙或正在重启；若持续如此，请查看其日志。",
    ),
    "problem.key": (
        "The API at {url} does not accept the key. Enter one of server.api_keys of its settings.",
        "位于 {url} 的 API 不接受这个密钥。请输入其设置 server.api_keys 中的一个。",
    ),
    "problem.forbidden": ("The API does not allow this: {detail}", "API 不允许此操作：{detail}"),
    "problem.missing": ("It is not there (any more), or this server cannot do it: {detail}", "对象不存在，或服务器不支持此操作：{detail}"),
    "problem.exists": ("It exists already, or is being changed just now: {detail}", "已存在，或正在被修改：{detail}"),
    "problem.invalid": ("The server cannot use this: {detail}", "服务器无法处理：{detail}"),
    "problem.too_large": ("Too large for the server: {detail}", "超出服务器的大小限制：{detail}"),
    "problem.busy": ("Too many requests at once. Wait a moment and ask again. {detail}", "请求过多，请稍后再试。{detail}"),
    "problem.unavailable": (
        "A part behind the API is down or still starting: {detail}",
        "API 依赖的组件未就绪或正在启动：{detail}",
    ),
    "problem.failed": ("The server failed at this: {detail}", "服务器处理失败：{detail}"),
    "problem.garbled": (
        "The server at {url} answered something this page does not understand ({detail}). Are both of the same version?",
        "位于 {url} 的服务器返回了无法识别的内容（{detail}）。两者版本是否一致？",
    ),
}

# Asked of the library that is shipped with the app.
SAMPLES = "samples"
EXAMPLES = (
    "How should keyword search and dense search be fused?",
    "What happens to the library when ingestion is killed in the middle?",
    "中文检索应该如何分词？",
)


def say(language: str, key: str, **values: object) -> str:
    """The sentence of `key` in a language ("zh", else English). Raises KeyError for an unknown key."""
    english, chinese = WORDS[key]
    return (chinese if language == "zh" else english).format(**values)


def say_or(language: str, key: str, otherwise: str) -> str:
    """The same for a key that a newer server may have made up; `otherwise` when it is unknown."""
    return say(language, key) if key in WORDS else otherwise


def duration(language: str, seconds: float) -> str:
    """12 -> "12 s", 150 -> "3 min", 7000 -> "1.9 h"."""
    if seconds < 90:
        return say(language, "time.s", n=max(1, round(seconds)))
    if seconds < 5400:
        return say(language, "time.min", n=round(seconds / 60))
    return say(language, "time.h", n=f"{seconds / 3600:.1f}")


def from_locale(locale: str | None) -> str:
    """A browser's language tag -> "zh" or "en"."""
    return "zh" if (locale or "").lower().startswith("zh") else "en"
