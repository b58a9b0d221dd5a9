// CUDA as far as our kernels use it, on the CPU: the very same source compiled as C++.
//
// Each thread of a block is a fibre. A fibre runs until it comes to __syncthreads or
// to a shuffle; when all of the block, or of the warp, have come, they go on. Blocks
// run one after another. So a kernel that leaves a barrier out, or in which lanes take
// different ways to a shuffle, gives wrong numbers or an error, as it should.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct dim3 { unsigned x, y, z; };

static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace fibres {

enum State { RUNNING, AT_BARRIER, AT_SHUFFLE, DONE };
typedef unsigned long long Word;
typedef void (*Kernel)(Word, Word, Word, Word, Word, Word, Word, Word, Word, Word,
                       Word, Word, Word, Word);

static ucontext_t home;
static std::vector<ucontext_t> fibre;
static std::vector<std::vector<char>> stack;
static std::vector<State> state;
static std::vector<unsigned> shuffles;
static std::vector<Word> said[2];
static unsigned current;
static Kernel kernel;
static Word argument[14];

static const Word* ranges;
static int n_ranges;
static bool astray;

// What is at an address; zero, and an error, where the card has no memory.
template <typename T> static T loaded(const T* at) {
    for (int k = 0; k < n_ranges; k++)
        if ((Word)at >= ranges[2 * k] && (Word)(at + 1) <= ranges[2 * k + 1]) return *at;
    astray = true;
    return T();
}

static void body() {
    const Word* a = argument;
    kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11],
           a[12], a[13]);
    state[current] = DONE;
    swapcontext(&fibre[current], &home);
}

static void pause(State why) {
    const unsigned me = current;
    state[me] = why;
    swapcontext(&fibre[me], &home);
}

// Let those go on that all have come to the same place; false if nobody can.
static bool release() {
    const unsigned n = state.size();
    bool moved = false, all = true;
    for (unsigned first = 0; first < n; first += 32) {
        bool together = true;
        for (unsigned t = first; t < first + 32 && t < n; t++)
            together &= state[t] == AT_SHUFFLE;
        for (unsigned t = first; together && t < first + 32 && t < n; t++)
            state[t] = RUNNING;
        moved |= together;
    }
    for (unsigned t = 0; t < n; t++) all &= state[t] == AT_BARRIER || state[t] == DONE;
    for (unsigned t = 0; all && t < n; t++)
        if (state[t] == AT_BARRIER) {
            state[t] = RUNNING;
            moved = true;
        }
    return moved;
}

static bool run_block() {
    const unsigned n = blockDim.x;
    for (unsigned t = 0; t < n; t++) {
        getcontext(&fibre[t]);
        fibre[t].uc_stack.ss_sp = stack[t].data();
        fibre[t].uc_stack.ss_size = stack[t].size();
        fibre[t].uc_link = &home;
        makecontext(&fibre[t], body, 0);
        state[t] = RUNNING;
        shuffles[t] = 0;
    }
    for (;;) {
        unsigned done = 0;
        for (current = 0; current < n; current++) {
            if (state[current] == RUNNING) {
                threadIdx = {current, 0, 0};
                swapcontext(&home, &fibre[current]);
            }
            done += state[current] == DONE;
        }
        if (done == n) return true;
        if (!release()) return false;
    }
}

}  // namespace fibres

// Say which memory there is: first and one past the last byte of each piece.
extern "C" void allow(const fibres::Word* ranges, int n) {
    fibres::ranges = ranges;
    fibres::n_ranges = n;
}

// Run a kernel; 0, or 1 if its threads wait for each other for ever, or 2 if it has
// loaded from where there is no memory.
extern "C" int emulate(void* kernel, const fibres::Word* arguments, int n_arguments,
                       unsigned grid_x, unsigned grid_y, unsigned block) {
    using namespace fibres;
    fibres::kernel = (Kernel)kernel;
    std::memset(argument, 0, sizeof argument);
    std::memcpy(argument, arguments, n_arguments * sizeof(Word));
    fibre.resize(block);
    stack.resize(block);
    for (auto& one : stack) one.resize(1 << 16);
    state.resize(block);
    shuffles.resize(block);
    for (auto& one : said) one.resize(block);
    blockDim = {block, 1, 1};
    gridDim = {grid_x, grid_y, 1};
    astray = false;
    for (unsigned y = 0; y < grid_y; y++)
        for (unsigned x = 0; x < grid_x; x++) {
            blockIdx = {x, y, 0};
            if (!run_block()) return 1;
        }
    return astray ? 2 : 0;
}

static void __syncthreads() { fibres::pause(fibres::AT_BARRIER); }

template <typename T> T __shfl_xor_sync(unsigned, T value, int lanes) {
    using namespace fibres;
    static_assert(sizeof(T) <= sizeof(Word), "a shuffle moves 8 bytes at most");
    const unsigned me = current;
    // By turns, as a lane may come to the next shuffle before others have read.
    auto& turn = said[shuffles[me]++ % 2];
    std::memcpy(&turn[me], &value, sizeof(T));
    pause(AT_SHUFFLE);
    T found;
    std::memcpy(&found, &turn[me ^ lanes], sizeof(T));
    return found;
}

template <typename T> T __ldg(const T* at) { return fibres::loaded(at); }
template <typename T> T __ldcs(const T* at) { return fibres::loaded(at); }
template <typename T> T min(T one, T other) { return one < other ? one : other; }
template <typename T> T max(T one, T other) { return one > other ? one : other; }

template <typename T> T atomicAdd(T* at, T value) {
    T before = *at;
    *at += value;
    return before;
}

template <typename T> T atomicMax(T* at, T value) {
    T before = *at;
    *at = max(*at, value);
    return before;
}

static float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

static unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int k = 0; k < 32; k += 8) c += ((a >> k) & 0xffu) * ((b >> k) & 0xffu);
    return c;
}

static unsigned __dp2a_lo(unsigned a, unsigned b, unsigned c) {
    return c + (a & 0xffffu) * (b & 0xffu) + (a >> 16) * ((b >> 8) & 0xffu);
}

static unsigned lanes_max(unsigned a, unsigned b, int bits) {
    unsigned found = 0;
    for (int k = 0; k < 32; k += bits) {
        const unsigned lane = (1ull << bits) - 1;
        found |= max((a >> k) & lane, (b >> k) & lane) << k;
    }
    return found;
}
static unsigned __vmaxu4(unsigned a, unsigned b) { return lanes_max(a, b, 8); }
static unsigned __vmaxu2(unsigned a, unsigned b) { return lanes_max(a, b, 16); }
