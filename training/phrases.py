"""Every phrasing of every question, in English and Chinese, and talk that lies outside the drawn world."""

from training.lexicon import Lang

# ruff: noqa: E501, SIM905 -- tables of words read best on wide lines

# Slots: {c} colour, {k} kind, {ks} kind in the plural, {t} "shape", {ts} "shapes", {a}/{b} a described thing.
PHRASES: dict[str, dict[Lang, tuple[str, ...]]] = {
    "shape_only": {
        Lang.EN: (
            "what shape is in the image", "what shape does the image contain", "what shape is present",
            "what shape is it", "what shape is this", "which {t} do you see", "what is the shape",
            "name the {t}", "what figure is shown", "what kind of {t} is it", "which shape is in the picture",
            "what shape is shown", "tell me the shape", "what shape is the object", "what is this shape",
        ),
        Lang.ZH: (
            "图中是什么形状", "图里有什么图形", "这是什么形状", "这是什么图形", "图像中的图形是什么", "图片里是什么形状",
            "它是什么形状", "这个图形是什么", "图中的物体是什么形状", "是什么图形", "画的是什么形状",
        ),
    },
    "shape_of": {
        Lang.EN: (
            "what is the {c} shape", "what shape is the {c} {t}", "what shape is {c}", "which shape is {c}",
            "what shape is the {c} one", "what kind of {t} is {c}", "what is the shape of the {c} {t}",
            "what is the {c} {t}", "tell me the shape of the {c} {t}", "which shape does the {c} {t} have",
            "what shape is the {c} thing", "name the {c} {t}",
        ),
        Lang.ZH: (
            "{c}的图形是什么形状", "{c}的{t}是什么", "{c}的是什么形状", "{c}图形是什么形状", "什么形状是{c}的",
            "哪个图形是{c}的", "{c}的那个是什么形状", "{c}物体是什么形状", "{c}的{t}是什么图形",
        ),
    },
    "color_only": {
        Lang.EN: (
            "what is the color of the {t}", "what color is the {t}", "what color is it", "what colour is it",
            "what is its color", "which color does the {t} have", "what colour is the {t}", "what color is this",
            "tell me the color", "what is the colour of the {t}", "which color is it", "what color is this {t}",
        ),
        Lang.ZH: (
            "图形是什么颜色", "它是什么颜色", "这是什么颜色", "这个{t}是什么颜色", "图中的{t}是什么颜色",
            "{t}的颜色是什么", "是什么颜色", "什么颜色", "它的颜色是什么", "这个图形是哪种颜色",
        ),
    },
    "color_of": {
        Lang.EN: (
            "what color is the {a}", "what is the color of the {a}", "what colour is the {a}", "which color is the {a}",
            "what is the colour of the {a}", "which colour does the {a} have", "tell me the color of the {a}",
            "the {a} is what color", "what color does the {a} have", "in what color is the {a}",
        ),
        Lang.ZH: (
            "{a}是什么颜色", "{a}是什么颜色的", "{a}的颜色是什么", "图中的{a}是什么颜色", "{a}是哪种颜色",
            "什么颜色的{a}", "图里的{a}是什么颜色的", "那个{a}是什么颜色", "{a}有什么颜色",
        ),
    },
    "count": {
        Lang.EN: (
            "how many {x} are there", "how many {x} are in the image", "how many {x} do you see", "count the {x}",
            "how many {x}", "how many {x} are in the picture", "what is the number of {x}", "how many {x} can you see",
            "how many {x} does the image contain", "number of {x}", "how many {x} are shown", "give the count of {x}",
        ),
        Lang.ZH: (
            "有几个{x}", "有多少个{x}", "图中有几个{x}", "图里有多少个{x}", "{x}有几个", "{x}有多少个", "数一数{x}",
            "图片中有多少{x}", "一共有几个{x}", "{x}的数量是多少", "图像中有几个{x}", "你看到几个{x}", "总共有多少个{x}",
        ),
    },
    "exists": {
        Lang.EN: (
            "is there {ax}", "is there {ax} in the image", "does the image contain {ax}", "is {ax} present",
            "do you see {ax}", "is there {ax} in the picture", "can you see {ax}", "does the picture show {ax}",
            "are there any {x}s", "is there any {x}", "are there {x}s in the image", "does the picture contain {ax}",
        ),
        Lang.ZH: (
            "有{x}吗", "图中有{x}吗", "图里有没有{x}", "有没有{x}", "图片里有{x}吗", "是否有{x}", "存在{x}吗",
            "图像中有{x}吗", "能看到{x}吗", "图中是否有{x}", "里面有{x}吗", "你看到{x}了吗",
        ),
    },
    "exists_not": {
        Lang.EN: (
            "is there not {ax}", "is there not {ax} in the image", "does the image not contain {ax}",
            "is no {x} present", "is there no {x}", "is there no {x} in the image",
        ),
        Lang.ZH: ("图中没有{x}吗", "没有{x}吗", "图里没有{x}，对吗", "是不是没有{x}", "图片里没有{x}是吗"),
    },
    "left": {
        Lang.EN: (
            "is the {a} left of the {b}", "is the {a} to the left of the {b}", "is the {a} on the left of the {b}",
            "is the {a} on the left side of the {b}", "is the {a} further left than the {b}",
        ),
        Lang.ZH: ("{a}在{b}的左边吗", "{a}在{b}左边吗", "{a}是不是在{b}的左边", "{a}在{b}的左侧吗", "{a}位于{b}的左边吗"),
    },
    "right": {
        Lang.EN: (
            "is the {a} right of the {b}", "is the {a} to the right of the {b}", "is the {a} on the right of the {b}",
            "is the {a} on the right side of the {b}", "is the {a} further right than the {b}",
        ),
        Lang.ZH: ("{a}在{b}的右边吗", "{a}在{b}右边吗", "{a}是不是在{b}的右边", "{a}在{b}的右侧吗", "{a}位于{b}的右边吗"),
    },
    "above": {
        Lang.EN: ("is the {a} above the {b}", "is the {a} higher than the {b}", "is the {a} higher up than the {b}",
                  "is the {a} over the {b}"),
        Lang.ZH: ("{a}在{b}的上面吗", "{a}在{b}上面吗", "{a}是不是在{b}的上方", "{a}在{b}的上方吗", "{a}比{b}高吗",
                  "{a}在{b}的上边吗"),
    },
    "below": {
        Lang.EN: ("is the {a} below the {b}", "is the {a} lower than the {b}", "is the {a} under the {b}",
                  "is the {a} beneath the {b}"),
        Lang.ZH: ("{a}在{b}的下面吗", "{a}在{b}下面吗", "{a}是不是在{b}的下方", "{a}在{b}的下方吗", "{a}比{b}低吗",
                  "{a}在{b}的下边吗"),
    },
    "larger": {
        Lang.EN: ("which is larger, the {a} or the {b}", "which is bigger, the {a} or the {b}",
                  "which one is larger, the {a} or the {b}", "what is larger: the {a} or the {b}",
                  "which one is bigger: the {a} or the {b}", "is the {a} or the {b} larger",
                  "which {t} is larger, the {a} or the {b}"),
        Lang.ZH: ("哪个更大，{a}还是{b}", "{a}和{b}哪个更大", "{a}和{b}哪个大", "哪个大，{a}还是{b}", "{a}与{b}相比哪个更大",
                  "{a}大还是{b}大"),
    },
    "smaller": {
        Lang.EN: ("which is smaller, the {a} or the {b}", "which one is smaller, the {a} or the {b}",
                  "what is smaller: the {a} or the {b}", "is the {a} or the {b} smaller"),
        Lang.ZH: ("哪个更小，{a}还是{b}", "{a}和{b}哪个更小", "{a}和{b}哪个小", "{a}小还是{b}小"),
    },
    "number": {
        Lang.EN: ("what number is written", "what number is in the image", "which number is written", "read the number",
                  "what number do you see", "which number do you see", "what is the number", "what number is shown",
                  "what does the number say", "what number is printed", "which number is in the picture",
                  "what number is written in the image", "what digits are written"),
        Lang.ZH: ("写的是什么数字", "图中的数字是什么", "写着什么数字", "数字是多少", "图里写了什么数字", "读出数字",
                  "上面的数字是多少", "图片中的数字是多少", "印着什么数字", "你看到什么数字", "是什么数字"),
    },
    "number_color": {
        Lang.EN: ("what color is the number", "what is the color of the number", "what colour is the number",
                  "in what color is the number written"),
        Lang.ZH: ("数字是什么颜色", "数字是什么颜色的", "数字的颜色是什么", "图中的数字是什么颜色"),
    },
    "fill": {
        Lang.EN: ("is the {a} filled or outlined", "is the {a} outlined or filled", "filled or outlined: the {a}",
                  "is the {a} solid or just an outline"),
        Lang.ZH: ("{a}是实心的还是空心的", "{a}是空心还是实心", "{a}是实心还是空心", "{a}是空心的还是实心的"),
    },
    "size": {
        Lang.EN: ("is the {a} small or large", "is the {a} large or small", "is the {a} big or small",
                  "what size is the {a}", "how big is the {a}"),
        Lang.ZH: ("{a}是大的还是小的", "{a}是大还是小", "{a}是小的还是大的", "{a}有多大", "{a}的大小如何"),
    },
    "describe": {
        Lang.EN: ("describe the image", "describe the picture", "describe this image", "what is in the image",
                  "what do you see", "what does the picture show", "what is in the picture", "what does the image show",
                  "describe what you see", "what can you see", "tell me about this image", "caption the image",
                  "what is shown here", "describe this picture in detail", "what shapes are in the image",
                  "list everything in the picture", "what is this", "what is on the picture", "describe the scene"),
        Lang.ZH: ("描述这张图片", "描述图像", "描述一下这张图", "图中有什么", "图里有什么", "你看到了什么", "这张图片里有什么",
                  "图片显示了什么", "说说图里的内容", "描述这幅图", "图中有哪些图形", "这是什么图片", "看图说话", "介绍一下这张图片"),
    },
    "then_color": {
        Lang.EN: ("and what color is it", "what color is it", "and its color", "and what colour is it",
                  "what is its color", "and which color does it have"),
        Lang.ZH: ("那它是什么颜色", "它是什么颜色", "那颜色呢", "它的颜色呢", "它是什么颜色的"),
    },
    "then_shape": {
        Lang.EN: ("and what shape is it", "what shape is it", "and its shape", "which shape is it"),
        Lang.ZH: ("那它是什么形状", "它是什么形状", "那形状呢", "它的形状呢"),
    },
    "then_fill": {
        Lang.EN: ("is it filled or outlined", "and is it filled or outlined"),
        Lang.ZH: ("它是实心的还是空心的", "那它是实心还是空心"),
    },
    "then_size": {
        Lang.EN: ("is it small or large", "and is it small or large", "and what size is it"),
        Lang.ZH: ("它是大的还是小的", "那它是大还是小"),
    },
}  # fmt: skip

PREFIXES: dict[Lang, tuple[str, ...]] = {
    Lang.EN: ("please tell me, ", "can you tell me: ", "hey, ", "look at the image. ", "question: ", "please answer: ",
              "in this picture, ", "so ", "answer briefly: "),
    Lang.ZH: ("请问，", "请问", "请告诉我，", "看图，", "请回答：", "问题：", "你好，", "在这张图里，", "请看图回答，"),
}  # fmt: skip
SUFFIXES: dict[Lang, tuple[str, ...]] = {
    Lang.EN: (" please", ", please", " in this image", " in one word", " here"),
    Lang.ZH: ("呢", "呀", "，谢谢", "，请回答"),
}
SYSTEM: tuple[str, ...] = (
    "you are a helpful assistant.", "answer in one word.", "you answer questions about images.", "be brief.",
    "you are a vision-language model. answer the question about the image.", "你是一个有用的助手。",
    "请根据图片回答问题。", "请简短回答。", "answer the question using a single word or phrase.",
    "you are a careful assistant that looks at pictures. do not make things up. if you are not sure, say so.",
    "you are qwen, created by alibaba cloud.", "a chat between a curious user and an artificial intelligence assistant.",
    "always answer in the language of the question.", "you are an expert at visual question answering.", "",
    "the assistant gives helpful, detailed and polite answers to the user's questions.", "你是一个视觉问答助手，请用一个词回答。",
    "请仔细看图，用提问的语言回答。", "look at the image carefully before you answer. keep the answer short.",
)  # fmt: skip

FOREIGN: dict[Lang, tuple[str, ...]] = {
    Lang.EN: (
        "who is the president of {n}", "what is the weather like", "what breed is the {n}", "hello", "hi", "good morning",
        "how are you", "what time is it", "how old is the {n}", "write a poem about the {n}", "who are you",
        "what is the capital of {n}", "is there a {n}", "is there a {n} in the image", "how many {n}s are there",
        "how many {n}s", "what color is the {n}", "where is the {n}", "what is the {n} doing", "who painted this",
        "what brand is the {n}", "tell me a joke", "translate this to {n}", "what is {n}", "is the {n} happy",
        "what is the man wearing", "how much does the {n} cost", "what can you do", "which country is this", "thanks",
        "do you like {n}", "what is the name of the {n}", "why is the {n} there", "is it raining", "when was this taken",
        "is the {n} left of the {o}", "which is larger, the {n} or the {o}", "describe the {n}", "what does the {n} eat",
        "{n}", "{n} {o}", "how do i cook {n}", "what is two plus two", "solve the equation", "is this a photo of a {n}",
    ),
    Lang.ZH: (
        "{n}的总统是谁", "今天天气怎么样", "这只{n}是什么品种", "你好", "早上好", "你是谁", "现在几点了", "这个{n}多大了",
        "写一首关于{n}的诗", "{n}的首都是哪里", "有{n}吗", "图中有{n}吗", "有几只{n}", "有多少个{n}", "{n}是什么颜色",
        "{n}在哪里", "{n}在做什么", "这是谁画的", "{n}是什么牌子", "讲个笑话", "把这个翻译成{n}", "什么是{n}", "{n}开心吗",
        "那个人穿着什么", "{n}多少钱", "你会做什么", "这是哪个国家", "谢谢", "你喜欢{n}吗", "{n}叫什么名字",
        "为什么有{n}", "在下雨吗", "这是什么时候拍的", "{n}在{o}的左边吗", "{n}和{o}哪个更大", "描述一下{n}", "{n}吃什么",
        "{n}", "{n}和{o}", "怎么做{n}", "二加二等于几", "解这个方程", "这是{n}的照片吗", "你今天过得好吗",
    ),
}  # fmt: skip
FOREIGN_NOUNS: dict[Lang, tuple[str, ...]] = {
    Lang.EN: tuple(
        "dog cat car person man woman child bird house tree table chair bus train plane boat horse cow sheep pizza apple "
        "banana phone laptop book clock bottle cup france china germany hat shirt shoe road sky sun moon cloud river "
        "mountain flower sign building window door street bike truck elephant giraffe zebra lion fish guitar piano ball "
        "kite umbrella bag toothbrush sandwich cake president king queen doctor money music history quantum physics "
        "hexagon pentagon heart arrow cross line letter word text face hand eye animal food city".split()
    ),
    Lang.ZH: tuple(
        "狗 猫 汽车 人 男人 女人 孩子 鸟 房子 树 桌子 椅子 公交车 火车 飞机 船 马 牛 羊 披萨 苹果 香蕉 手机 电脑 书 钟 瓶子 "
        "杯子 法国 中国 德国 帽子 衬衫 鞋 路 天空 太阳 月亮 云 河 山 花 牌子 建筑 窗户 门 街道 自行车 卡车 大象 长颈鹿 "
        "斑马 狮子 鱼 吉他 钢琴 球 风筝 雨伞 包 牙刷 三明治 蛋糕 总统 国王 医生 钱 音乐 历史 物理 六边形 五边形 心形 箭头 "
        "十字 线 字母 文字 脸 手 眼睛 动物 食物 城市".split()
    ),
}
