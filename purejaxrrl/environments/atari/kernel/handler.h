// What XLA for CPU calls: reads the buffers of a call, and plays the lanes on the threads of XLA's own pool.
//
// The structs are the part that is needed of XLA's foreign function interface, `xla/ffi/api/c_api.h`, version 0.

namespace ffi {

typedef unsigned long long u64;

struct Extension {
    u64 size;
    int type;
    Extension* next;
};

struct Version {
    u64 size;
    Extension* extensions;
    int major, minor;
};

struct Metadata {
    u64 size;
    Version version;
};

struct MetadataExtension {
    Extension base;
    Metadata* metadata;
};

struct Buffer {
    u64 size;
    Extension* extensions;
    int type;
    void* data;
    long long rank;
    long long* dimensions;
};

struct List {
    u64 size;
    Extension* extensions;
    long long length;
    int* types;
    void** items;
};

struct DestroyError {
    u64 size;
    Extension* extensions;
    void* error;
};

struct Schedule {
    u64 size;
    Extension* extensions;
    void* context;
    void (*task)(void*);
    void* data;
};

struct NumberOfThreads {
    u64 size;
    Extension* extensions;
    void* context;
    long long* number;
};

struct Api {
    u64 size;
    Extension* extensions;
    Version version;
    void* internal;
    void* create_error;
    void* message_of_error;
    void (*destroy_error)(DestroyError*);
    void* others[8];
    void* (*schedule)(Schedule*);
    void* (*number_of_threads)(NumberOfThreads*);
};

struct Call {
    u64 size;
    Extension* extensions;
    const Api* api;
    void* context;
    int stage;
    List arguments, results;
};

const int EXECUTE = 3, METADATA = 1;

// Work on every lane of a batch. Slots are static, for a task may begin, and find nothing to do, when the call is over.
struct Work {
    void (*one)(const void* buffers, int lane);
    long long buffers[16];
    int lanes;
    int next, done, users;
};

static Work* slots() {
    static Work all[64];
    return all;
}

static void take_part(Work* work) {
    int lane;
    while ((lane = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED)) < work->lanes) {
        work->one(work->buffers, lane);
        __atomic_fetch_add(&work->done, 1, __ATOMIC_RELEASE);
    }
}

static void help(void* work) {
    take_part((Work*)work);
    __atomic_fetch_sub(&((Work*)work)->users, 1, __ATOMIC_RELEASE);
}

static Work* claim_slot() {
    for (int place = 0; place < 64; place++) {
        int free = 0;
        if (__atomic_compare_exchange_n(&slots()[place].users, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return slots() + place;
    }
    return nullptr;
}

static int is_refused(const Call* call, void* error) {
    if (!error) return 0;
    DestroyError destroy = {sizeof(DestroyError), nullptr, error};
    call->api->destroy_error(&destroy);
    return 1;
}

static void ask_for_help(const Call* call, Work* work) {
    long long threads = 1;
    NumberOfThreads ask = {sizeof(NumberOfThreads), nullptr, call->context, &threads};
    if (is_refused(call, call->api->number_of_threads(&ask))) return;
    int helpers = (int)(threads < work->lanes ? threads : work->lanes) - 1;
    for (int helper = 0; helper < helpers; helper++) {
        __atomic_fetch_add(&work->users, 1, __ATOMIC_RELAXED);
        Schedule schedule = {sizeof(Schedule), nullptr, call->context, help, work};
        if (is_refused(call, call->api->schedule(&schedule))) {
            __atomic_fetch_sub(&work->users, 1, __ATOMIC_RELAXED);
            return;
        }
    }
}

// Calls `one` for every lane, by as many threads as XLA has; the caller works too, and waits only for lanes already begun.
static void for_each_lane(const Call* call, void (*one)(const void*, int), const void* buffers, int size, int lanes) {
    Work* work = lanes > 1 ? claim_slot() : nullptr;
    if (!work) {
        for (int lane = 0; lane < lanes; lane++) one(buffers, lane);
        return;
    }
    work->one = one;
    for (int place = 0; place < size / 8; place++) work->buffers[place] = ((const long long*)buffers)[place];
    work->lanes = lanes;
    work->done = 0;
    __atomic_store_n(&work->next, 0, __ATOMIC_RELEASE);
    ask_for_help(call, work);
    take_part(work);
    while (__atomic_load_n(&work->done, __ATOMIC_ACQUIRE) < lanes) sched_yield();
    __atomic_fetch_sub(&work->users, 1, __ATOMIC_RELEASE);
}

static void* data_of(const List& list, int place) {
    return ((Buffer*)list.items[place])->data;
}

static int dimension_of(const List& list, int place, int axis) {
    return (int)((Buffer*)list.items[place])->dimensions[axis];
}

// Whether a call asks what version of the interface this is, or prepares for others to come: all but execution.
static int is_formality(Call* call) {
    if (call->extensions && call->extensions->type == METADATA) {
        Version* version = &((MetadataExtension*)call->extensions)->metadata->version;
        version->major = 0;
        version->minor = call->api ? call->api->version.minor : 0;
        return 1;
    }
    return call->stage != EXECUTE;
}

static void play_one(const void* buffers, int lane) {
    atari::play_frame(*(const atari::Buffers*)buffers, lane);
}

static void observe_one(const void* buffers, int lane) {
    atari::observe(*(const atari::Pictures*)buffers, lane);
}

// Arguments: the fields of `Pictures` in order; the results are stacks, all alike.
static void* observe(Call* call) {
    if (is_formality(call)) return nullptr;
    const List &in = call->arguments, &out = call->results;
    atari::Pictures pictures;
    pictures.rows = (const atari::u32*)data_of(in, 0);
    pictures.colours = (const atari::u32*)data_of(in, 1);
    pictures.buffer = (const int*)data_of(in, 2);
    pictures.lines = (const int*)data_of(in, 3);
    pictures.pal = (const int*)data_of(in, 4);
    pictures.pictures = (const int*)data_of(in, 5);
    pictures.greys = (const atari::u8*)data_of(in, 6);
    pictures.before = (const atari::u32*)data_of(in, 7);
    pictures.wanted = (int)out.length;
    for (int copy = 0; copy < pictures.wanted; copy++) pictures.stacks[copy] = (atari::u32*)data_of(out, copy);
    pictures.canvas_height = dimension_of(in, 0, 2);
    for_each_lane(call, observe_one, &pictures, sizeof pictures, dimension_of(out, 0, 0));
    return nullptr;
}

// Arguments: the lanes' heights, int32 [lanes]; the results are a canvas that all of is yet to be drawn but lines below the pictures.
static void* clear(Call* call) {
    if (is_formality(call)) return nullptr;
    const List &in = call->arguments, &out = call->results;
    atari::Buffers buffers = {};
    buffers.settings = (const int*)data_of(in, 0);
    buffers.rows = (atari::u32*)data_of(out, 0);
    buffers.colours = (atari::u32*)data_of(out, 1);
    buffers.lanes = dimension_of(out, 0, 0);
    buffers.canvas_height = dimension_of(out, 0, 2);
    for (int lane = 0; lane < buffers.lanes; lane++) atari::clear_below(buffers, buffers.settings[lane], lane);
    return nullptr;
}

// Arguments: where, int32 [lanes], two canvases; the result is the second, changed where wanted to the first.
static void* restore(Call* call) {
    if (is_formality(call)) return nullptr;
    const List &in = call->arguments, &out = call->results;
    const int* where = (const int*)data_of(in, 0);
    int lanes = dimension_of(in, 0, 0);
    for (int part = 0; part < 2; part++) {
        long long size = 2LL * dimension_of(out, part, 2) * dimension_of(out, part, 3);
        const atari::u32* from = (const atari::u32*)data_of(in, 1 + part);
        atari::u32* to = (atari::u32*)data_of(out, part);
        for (int lane = 0; lane < lanes; lane++)
            for (long long word = lane * size; where[lane] && word < (lane + 1) * size; word++) to[word] = from[word];
    }
    return nullptr;
}

// Arguments: words, settings, then the state's arrays in the order of `Buffers`, which are the results.
static void* play(Call* call) {
    if (is_formality(call)) return nullptr;
    const List &in = call->arguments, &out = call->results;
    atari::Buffers buffers;
    buffers.words = (const int*)data_of(in, 0);
    buffers.settings = (const int*)data_of(in, 1);
    buffers.scalars = (int*)data_of(out, 0);
    buffers.memory = (atari::u8*)data_of(out, 1);
    buffers.positions = (int*)data_of(out, 2);
    buffers.line = (atari::u32*)data_of(out, 3);
    buffers.line_sets = (atari::u32*)data_of(out, 4);
    buffers.rows = (atari::u32*)data_of(out, 5);
    buffers.colours = (atari::u32*)data_of(out, 6);
    buffers.fetchers = (int*)data_of(out, 7);
    buffers.lanes = dimension_of(out, 1, 0);
    buffers.canvas_height = dimension_of(out, 5, 2);
    for_each_lane(call, play_one, &buffers, sizeof buffers, buffers.lanes);
    return nullptr;
}

}  // namespace ffi
