/* What a registry cannot do without when a blob of 100 MiB is pushed into it, by hand: `floor_push DIRECTORY KIB PARTS`, where PARTS are letters: h, it
   is hashed (SHA-256); w, written into the kernel's cache; d, written past it; s, synced. The bytes come over loopback, KIB at a time, eight pushes one
   after the other; CPU of who receives, for each. docs/performance.md, "The registry".

   cc -O2 -o floor_push bench/floor_push.c -lcrypto */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PUSHES = 8, SIZE = 100 << 20 };

static void need(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

static void push(struct sockaddr_in address)
{
	int server = socket(AF_INET, SOCK_STREAM, 0);
	unsigned char *content = malloc(SIZE);
	need(content && connect(server, (void *)&address, sizeof address) == 0, "connect");
	for (unsigned i = 0; i < SIZE; i++)
		content[i] = i * 2654435761u >> 13;
	for (int i = 0; i < PUSHES; i++) {
		char done;
		for (size_t sent = 0; sent < SIZE;) {
			ssize_t count = write(server, content + sent, SIZE - sent);
			need(count > 0, "write");
			sent += count;
		}
		need(read(server, &done, 1) == 1, "read");
	}
}

static double milliseconds(struct timeval time)
{
	return time.tv_sec * 1e3 + time.tv_usec / 1e3;
}

int main(int count, char **arguments)
{
	need(count == 4, "floor_push DIRECTORY KIB PARTS");
	size_t at_once = (size_t)atoi(arguments[2]) << 10, page = 4096;
	int hashed = !!strchr(arguments[3], 'h'), synced = !!strchr(arguments[3], 's');
	int direct = !!strchr(arguments[3], 'd'), written = direct || strchr(arguments[3], 'w');
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	need(bind(listener, (void *)&address, length) == 0 && listen(listener, 1) == 0, "listen");
	getsockname(listener, (void *)&address, &length);
	if (fork() == 0) {
		push(address);
		return 0;
	}
	int client = accept(listener, 0, 0);
	unsigned char *buffer;
	need(at_once && at_once % page == 0 && posix_memalign((void **)&buffer, page, at_once) == 0, "KIB, a multiple of 4");
	memset(buffer, 1, at_once);
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < PUSHES; i++) {
		char path[4096];
		snprintf(path, sizeof path, "%s/pushed-%d", arguments[1], i % 4);
		unlink(path);
		int file = written ? open(path, O_WRONLY | O_CREAT | (direct ? O_DIRECT : 0), 0600) : -1;
		need(!written || file >= 0, path);
		EVP_DigestInit_ex(hash, EVP_sha256(), 0);
		for (size_t came = 0, filled = 0; came < SIZE;) {
			size_t left = SIZE - came;
			ssize_t got = recv(client, buffer + filled, at_once - filled < left ? at_once - filled : left, 0);
			need(got > 0, "recv");
			if (hashed)
				EVP_DigestUpdate(hash, buffer + filled, got);
			came += got;
			filled += got;
			if (filled == at_once || came == SIZE || !direct) {
				size_t whole = direct ? (filled + page - 1) / page * page : filled;
				need(!written || write(file, buffer, whole) == (ssize_t)whole, "write");
				filled = 0;
			}
		}
		unsigned char digest[EVP_MAX_MD_SIZE];
		EVP_DigestFinal_ex(hash, digest, 0);
		need(!synced || !written || fdatasync(file) == 0, "fdatasync");
		if (written)
			close(file);
		need(write(client, "x", 1) == 1, "answer");
	}
	getrusage(RUSAGE_SELF, &after);
	wait(0);
	printf("%-4s %5zu KiB  %.1f ms\n", arguments[3], at_once >> 10,
	       (milliseconds(after.ru_utime) + milliseconds(after.ru_stime) - milliseconds(before.ru_utime) - milliseconds(before.ru_stime)) / PUSHES);
}
